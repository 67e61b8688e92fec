"""What the service remembers: searches, scores, events, schedules. Plain values in and out."""
