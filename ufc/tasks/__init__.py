"""Tasks written as one line of instruction: their grammar, their plans, mixtures of them."""
