"""The REST service: submit searches, follow them, download schedules."""
