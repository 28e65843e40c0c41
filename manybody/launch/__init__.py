"""From a command line or a mapping to one checked configuration."""
