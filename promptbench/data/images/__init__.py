"""Images: from encoded bytes to a batch, on the host and on the device."""
