"""Audio interfaces that need no sound card."""
