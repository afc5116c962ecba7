"""Running networks: how long they take, and what they say about images."""
