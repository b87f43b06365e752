"""The sections of a configuration: what the generator, the discriminators and the training can be told."""
