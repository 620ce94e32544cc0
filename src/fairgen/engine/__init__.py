"""The only room that knows diffusers: devices, training, checkpoints, generation, features."""
