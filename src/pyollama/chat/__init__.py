"""The text side of a model: from messages to a prompt, and from output text back to messages."""
