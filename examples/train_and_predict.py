"""`chainrule train` and `chainrule predict` from Python: a run folder, then predictions for new flowers."""

import tempfile
from pathlib import Path

from chainrule.train.config import Request
from chainrule.train.prediction import predict
from chainrule.train.session import start

folder = Path(tempfile.mkdtemp()) / "iris"
outcome = start(Request(data="iris", layers=(32,), epochs=60, seed=1), out=str(folder))
print(f"best epoch {outcome.best_epoch}, test accuracy {outcome.metrics['test']['accuracy']:.1%}")
print("in the run folder:", ", ".join(sorted(path.name for path in folder.iterdir())))

flowers = folder / "flowers.csv"
flowers.write_text("sepal_length_cm,sepal_width_cm,petal_length_cm,petal_width_cm\n5.0,3.4,1.5,0.2\n6.7,3.1,5.6,2.4\n")
print(predict(folder, str(flowers)).to_csv(), end="")
