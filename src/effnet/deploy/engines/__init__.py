"""What runs a bundle: one door, `open_engine`, and a module for each runtime, imported only when it is used.

Nothing here imports torch except `torch`, the module for torch's own format.
"""

from effnet.deploy.engines.engine import Engine as Engine
from effnet.deploy.engines.engine import Setting as Setting
from effnet.deploy.engines.opening import ENGINES as ENGINES
from effnet.deploy.engines.opening import engines_here as engines_here
from effnet.deploy.engines.opening import open_engine as open_engine
