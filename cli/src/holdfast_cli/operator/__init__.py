"""What an operator does from a shell: every verb asks the monitor's API, as anybody could."""
