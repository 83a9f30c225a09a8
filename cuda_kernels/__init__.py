"""CUDA kernels. Nothing is here yet: the room is kept so that the package's layout does not change when they come."""
