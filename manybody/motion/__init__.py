"""Motion clips: this project's file format, importers of other formats, and the library that samples clips."""
