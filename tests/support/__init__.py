"""What tests share: databases, a populated world, callers on both transports."""
