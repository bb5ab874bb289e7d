"""What this machine has: devices, memory, and what its containers allow of them."""
