"""What travels between the hub and its clients: frames, error codes, values. Knows neither Django nor storage."""
