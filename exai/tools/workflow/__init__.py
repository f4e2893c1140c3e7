"""Tools that guide an agent step by step: it does the work and reports it, the hub keeps what it found, and an expert
model is asked once, at the end. The state belongs to the conversation; nothing of it lives in a process."""
