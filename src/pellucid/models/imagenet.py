"""The classes of ImageNet and of its larger sets, by names that a person can read."""

from collections import Counter
from functools import cache

from timm.data import ImageNetInfo, infer_imagenet_subset

from pellucid.structures import Classes


@cache
def imagenet_classes(subset: str = "imagenet-1k") -> Classes:
    """The classes of one of timm's ImageNet subsets, in its order.

    A class is called by the first lemma of its WordNet synset ('tabby'), unless another class is called so too,
    whatever the case: then by all its lemmas ('maillot, tank suit') or, where those are shared as well or there is but
    one, with its synset ('crane (n02012849)'). Synonyms: each lemma, all lemmas together, and the synset.
    """
    info = ImageNetInfo(subset)
    synsets, descriptions = info.label_names(), info.label_descriptions()
    lemmas = [[lemma.strip() for lemma in description.split(",")] for description in descriptions]
    firsts = Counter(words[0].lower() for words in lemmas)
    wholes = Counter(description.lower() for description in descriptions)
    names = []
    for synset, description, words in zip(synsets, descriptions, lemmas, strict=True):
        if firsts[words[0].lower()] == 1:
            names.append(words[0])
        elif len(words) > 1 and wholes[description.lower()] == 1:
            names.append(description)
        else:
            names.append(f"{words[0]} ({synset})")
    synonyms = tuple(
        tuple(dict.fromkeys((*words, description, synset)))
        for synset, description, words in zip(synsets, descriptions, lemmas, strict=True)
    )
    return Classes(tuple(names), synonyms)


def classes_by_count(count: int) -> Classes:
    """The classes of the ImageNet subset that has ``count`` of them, else 'class 0', 'class 1', …

    That a network of 1,000 classes means ImageNet's holds for every network of timm and torchvision.
    """
    subset = infer_imagenet_subset({"num_classes": count})
    return imagenet_classes(subset) if subset else Classes.unnamed(count)
