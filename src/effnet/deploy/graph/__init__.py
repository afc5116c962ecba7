"""Passes over ONNX graphs: what every exported graph gets, and what one processor's own layout allows.

docs/engines.md has the figure of each, and of those that were tried and not kept.
"""

from effnet.deploy.graph.passes import optimize_graph as optimize_graph
