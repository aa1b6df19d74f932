"""What the emulator shows of itself: a page for people, a description for programs."""
