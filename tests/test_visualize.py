from mrcnn import visualize
from mrcnn.viz import colors, draw, instances, pipeline, plots


def test_the_classic_names_are_the_functions_themselves():
    homes = (colors, draw, instances, pipeline, plots)
    for name in visualize.__all__:
        if name != "ROOT_DIR":
            assert any(getattr(home, name, None) is getattr(visualize, name) for home in homes), name
