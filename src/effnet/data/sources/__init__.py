"""Every kind of data that a person may have, as a `Dataset`.

folder    class folders, with or without train / val / test
table     CSV, TSV or Parquet of paths (or embedded images) and labels
archive   zip or tar of class folders, read in place
shards    WebDataset shards, local or over HTTP, for data larger than a disk
builtin   digits, CIFAR-10
hub       Hugging Face datasets

>>> from effnet.data.sources import open_dataset
>>> open_dataset("digits").train.classes[:3]
('0', '1', '2')
"""

from effnet.data.sources.door import open_dataset as open_dataset
from effnet.data.sources.judged import open_judged as open_judged
from effnet.data.sources.subset import SubSource as SubSource
from effnet.data.sources.subset import per_class as per_class
from effnet.data.sources.subset import with_validation as with_validation
