"""Studies: what is claimed of the methods, measured by one command each. No part of the package."""
