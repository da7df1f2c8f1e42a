"""Raw data: publishers, downloads, archives, the publishers' own formats, and samples."""
