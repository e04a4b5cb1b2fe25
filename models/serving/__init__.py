"""Photo bytes to the age distribution of the face: all that a night loads."""
