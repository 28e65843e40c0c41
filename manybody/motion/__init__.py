"""Motion clips: the project's own file format, importers of others', and the library that samples them."""
