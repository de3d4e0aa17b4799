"""Gates: what a measurement must keep, how that is decided, and the files that say so."""
