import numpy as np
import pytest

from delrec_kit.data import plots, prepare
from delrec_kit.settings.config import DataConfig
from delrec_kit.settings.errors import KitError


@pytest.fixture
def data(write):
    rows = [(u, (u * 5 + s * s) % 30 + 1, s * 86400) for u in range(9) for s in range(3 + u)]
    folder = write("user,item,timestamp\n" + "".join(f"u{u},{i},{t}\n" for u, i, t in rows))
    return prepare(DataConfig(dataset="custom", data_dir=str(folder), candidates=5), 0)


@pytest.mark.parametrize("name", ["lengths", "popularity", "time", "split"])
def test_a_figure_has_labels_and_its_numbers(data, name):
    figure, table = getattr(plots, f"plot_{name}")(data)
    lowest = figure.axes[-1]
    assert lowest.get_xlabel() and all(axis.get_ylabel() for axis in figure.axes) and figure.axes[0].get_title()
    assert len(table) and not table.isna().any(axis=None)
    figure.canvas.draw()
    if name == "lengths":
        assert table["users"].tolist() == [1] * 9 and table["from"].tolist() == list(range(2, 11))
    elif name == "popularity":
        assert table["users"].sum() == len(data.split.consumed().values)
        assert (np.diff(table["users"]) <= 0).all() and table["rank"].tolist() == list(range(1, 31))
        assert table["title"].iloc[0] == f"Title {table['item'].iloc[0]}"
    elif name == "split":
        assert (table[table["role"] == "test target"]["place"] == 1).all()
        assert (table[table["role"] == "validation target"]["place"] == 0).all()
        assert table["role"].value_counts().to_dict() == {"training": 45, "validation target": 9, "test target": 9}
    else:
        assert table["interactions"].sum() == sum(range(3, 12))


def test_data_without_a_timeline_says_so(data):
    object.__setattr__(data, "timeline", data.timeline.iloc[:0])
    with pytest.raises(KitError, match="without a timeline"):
        plots.plot_time(data)
