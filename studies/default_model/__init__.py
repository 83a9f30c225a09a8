"""What the default model learns from beside the labels of LSPET: everybody else in its pictures, and small people."""
