"""Pure maths: tensors in, tensors out, no state."""
