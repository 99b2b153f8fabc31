"""What keeps a method to what it is given: the one way in, and the watch over what it asks for."""
