"""Evaluation: a model or stored predictions against labelled pictures, by the metric of the data set."""
