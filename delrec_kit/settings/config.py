"""Settings: one frozen pydantic model a stage. ``resolve`` makes them from a profile and what is set over it.

Which settings a stage reads, and so which change of settings makes it stale, stands in ``run/directory.py``.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from delrec_kit.settings.errors import nearest
from delrec_kit.settings.methods import ADAPTED, FROZEN
from delrec_kit.settings.rows import all_rows

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
LISTED, PROPOSED = 20, 100  # the teacher's first items that are kept of a training prefix, and of a case
PROTOCOLS = {"uniform": 2, "popularity": 2, "rerank": 2, "full": 2, "orders": 2, "last": 1}  # kind -> least N of kind-N


class StageConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(StageConfig):
    """01: which interactions, and how they become training sequences, targets and candidate sets."""

    # fmt: off
    dataset: Literal["demo", "ml-100k", "ml-1m", "amazon", "beauty", "home-kitchen", "steam", "recbole", "llara",
                     "custom"] = "demo"
    data_dir: str | None = Field(None, description="folder with the raw files; None downloads ml-100k or ml-1m")
    columns: dict[str, str] = Field({}, description="what the files call user, item, title …, and their separator")
    candidates: Annotated[int, Field(ge=2)] = Field(15, description="m: size of the candidate set, answer included")
    distractors: Literal["uniform", "popularity"] = Field("uniform", description="how the others are drawn")
    split: Literal["auto", "leave-one-out", "temporal", "by-user"] = Field(
        "auto", description="auto: the split that the data brings, else leave-one-out; the others are 8:1:1")
    core: CountOrNone = Field(0, description="k-core: drop users and items with fewer interactions; 0 keeps all")
    positive: float | None = Field(None, description="least label, or rating, that counts as a choice; None: all do")
    ties: Literal["file", "random", "item"] = Field(
        "file", description="what orders equal times: rows of the file, chance by the seed, or the item's id")
    repeats: Literal["keep", "first", "last"] = Field("keep", description="of a user's choices of the same item")
    max_length: CountOrNone = Field(0, description="keep the last interactions of each user; 0 keeps all")
    untitled: Literal["name", "drop"] = Field("name", description="items without a title: named by id, or left out")
    title_length: Annotated[int, Field(ge=20)] = Field(160, description="characters of a title; longer ones are cut")
    cold_items: Share | Literal["newest"] = Field(
        0.0, description="share of the items withheld from all training, to be ranked unseen; newest: the last to come")
    train_users: CountOrNone = Field(0, description="users that train and validate, drawn by the seed; 0: all")
    world_users: Count = Field(1000, description="demo only: users in the made world")
    # fmt: on


class TeacherConfig(StageConfig):
    """02: the conventional sequential recommender whose behaviour is distilled."""

    name: Literal["sasrec", "gru4rec", "caser"] = "sasrec"
    length: Count = Field(50, description="L: last interactions that the teacher reads")
    width: Count = 64
    layers: Count = Field(2, description="of SASRec and GRU4Rec; where it is not given, GRU4Rec has 1")
    dropout: Share = 0.2
    learning_rate: Rate = 3e-3
    batch: Count = 32
    epochs: Count = Field(25, description="at most; the learning rate falls to zero over them")
    prefixes: Count = Field(4, description="prefixes of each training sequence that the teacher labels for stage 1")
    folds: CountOrNone = Field(
        0,
        description="each person's labels are of a teacher that learned from all other folds of the people; 0: five "
        "where fewer than 500 people are learned from, else two",
    )

    @field_validator("folds")
    @classmethod
    def _others(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves nobody to learn from; two or more, or 0")
        return folds

    @model_validator(mode="before")
    @classmethod
    def _of_the_model(cls, values: Any) -> Any:
        """GRU4Rec does best with one layer."""
        return {"layers": 1, **values} if isinstance(values, Mapping) and values.get("name") == "gru4rec" else values


class LlmConfig(StageConfig):
    """The language model, and how its prompt is written."""

    name: str = Field(
        "tiny",
        description="'tiny', 'minilm', 'gemma', a hub id such as google/flan-t5-xl (or …@revision), a folder, or a "
        ".gguf file",
    )
    quantization: Literal["nf4", "fp4", "int8", "bf16", "fp16", "fp32"] = "nf4"
    gradient_checkpointing: bool = Field(
        False,
        description="recompute activations from the start, a third slower with much less memory; without it, only "
        "where a single example does not fit",
    )
    history: Count = Field(10, description="n: last titles of the history that the prompt lists")
    verbalizer: Literal["title", "index", "first_token"] = Field(
        "title",
        description="what is scored: the whole title, a letter before it, or (the authors' code) its first token",
    )
    listed: bool = Field(True, description="whether a prompt lists the candidates; a masked encoder's never does")
    prior: Literal["none", "popularity", "calibrated"] = Field(
        "popularity",
        description="what is added to a title's score: nothing, the log of its share of the training interactions, "
        "which no prompt tells, or that and its likelihood without a history, weighed on validation cases",
    )

    @property
    def repository(self) -> str:
        return self.name.partition("@")[0]

    @property
    def revision(self) -> str | None:
        return self.name.partition("@")[2] or None


class TrainConfig(StageConfig):
    """What stages 1 and 2 share."""

    epochs: Count = 2
    batch: Count = Field(20, description="prompts a step")
    at_once: CountOrNone = Field(
        0, description="prompts that go through the model at a time; 0: the batch, or the half, quarter … that fits"
    )
    optimizer: Literal["adamw", "paged_lion_8bit"] = "adamw"
    valid_users: Count = Field(256, description="validation users scored at each validation")


class DistillConfig(StageConfig):
    """03, stage 1: only the soft prompt P learns."""

    examples: Count = Field(1500, description="training examples of each task, at most")
    learning_rate: Rate = 5e-2
    k: Count = Field(10, description="soft tokens")
    conditioned: CountOrNone = Field(
        0, description="c: how many of the k depend on what the teacher expects of the user; 0, the paper: constant P"
    )
    place: Literal["after", "before"] = Field(
        "after", description="where P stands in the prompt: after the history, or before it"
    )
    h: Count = Field(5, description="teacher items in an RPS candidate set")
    a: Annotated[int, Field(ge=3)] = Field(4, description="items of the worked example in temporal analysis")
    rps: Literal["listwise", "hard", "hard_rest"] = Field(
        "listwise",
        description="the teacher's distribution, its first choice, or that with R_2 … R_h in the prompt",
    )
    tasks: Annotated[tuple[Literal["ta", "rps"], ...], Field(min_length=1)] = ("ta", "rps")
    weighting: Literal["dynamic", "fixed"] = Field("dynamic", description="of the two tasks' losses")


def _methods(names: tuple[str, ...], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise ValueError(f"no method '{name}'{nearest(name, known)}")
    if len(set(names)) < len(names):
        raise ValueError("a method stands there twice")
    return names


def _protocols(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        kind, _, n = name.partition("-")
        if kind not in PROTOCOLS or not n.isdecimal() or int(n) < PROTOCOLS[kind]:
            known = ", ".join(f"{kind}-N" for kind in PROTOCOLS)
            raise ValueError(f"'{name}' is no protocol; write one of {known}, with N of at least 2 (last-1: 1)")
        if kind == "rerank" and int(n) > PROPOSED:
            raise ValueError(f"'{name}': the teacher proposes at most {PROPOSED} items")
    kinds = [name.partition("-")[0] for name in names]
    twice = [kind for kind in ("rerank", "full", "orders") if kinds.count(kind) > 1]
    if twice or len(set(names)) < len(names):
        raise ValueError(f"{twice[0] if twice else 'a protocol'} stands there twice")
    return names


class FinetuneConfig(StageConfig):
    """04, stage 2: P stays, the language model learns by AdaLoRA."""

    methods: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(partial(_methods, known=ADAPTED))] = Field(
        ("llm_finetuned", "delrec"),
        description="rows of settings/methods.py that learn in stage 2, each by itself",
    )
    examples: Count = Field(2000, description="true labels, at most")
    epochs: CountOrNone = Field(0, description="passes over them; 0: train.epochs")
    learning_rate: Rate = 3e-3
    adapter: Literal["adalora", "lora", "none"] = "adalora"
    targets: tuple[str, ...] | None = Field(None, description="layers that get an adapter; None: query and value")
    rank: Count = Field(8, description="what AdaLoRA ends with on average, from 3/2 of it, and LoRA's rank")
    dropout: Share = Field(0.0, description="before the adapter; its random numbers cost a CPU a fifth of a step")


class EvaluationConfig(StageConfig):
    """05: what is ranked, and for how many users a run looks inside."""

    methods: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(partial(_methods, known=FROZEN))] = Field(
        ("llm_zero_shot", "llm_untrained_prompt", "llm_distilled_prompt"),
        description="rows of settings/methods.py with the frozen language model",
    )
    protocols: Annotated[tuple[str, ...], AfterValidator(_protocols)] = Field(
        (),
        description="beside the candidate sets: uniform-20, popularity-15 (other sets), rerank-100 (the teacher's "
        "first 100), full-200 (the whole catalogue for 200 users), orders-5 (the candidates in 5 orders), last-1 (the "
        "candidates, with the last title of each history alone)",
    )
    draws: Count = Field(1, description="D: draws of the distractors, over which a user's metrics are averaged")
    fuse: Literal["none", "weight", "gate"] = Field(
        "weight", description="weigh distilled P and adapted methods with the teacher, on validation; gate: gated too"
    )
    users: Count = Field(64, description="test users for attention and recency profiles")


class KitConfig(StageConfig):
    """Everything a run depends on. ``config.json`` in the run directory is this, resolved."""

    profile: str = "demo"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig = DataConfig()
    teacher: TeacherConfig = TeacherConfig()
    llm: LlmConfig = LlmConfig()
    train: TrainConfig = TrainConfig()
    distill: DistillConfig = DistillConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _fit_together(self) -> "KitConfig":
        data, distill, full = self.data, self.distill, [p for p in self.evaluation.protocols if p.startswith("full-")]
        misfits = [
            (full and self.llm.verbalizer == "index", f"llm.verbalizer=index ranks listed candidates only, not {full}"),
            (
                self.llm.verbalizer == "index" and (self.llm.prior == "calibrated" or not self.llm.listed),
                "llm.verbalizer=index needs listed candidates, and a prior that is not calibrated",
            ),
            (0 < data.max_length < 3, f"data.max_length={data.max_length} must be 0 or at least 3"),
            (distill.h > LISTED, f"distill.h={distill.h} must be at most {LISTED}"),
            (distill.h >= data.candidates, f"distill.h={distill.h} must be below data.candidates={data.candidates}"),
            (distill.conditioned > distill.k, f"distill.conditioned={distill.conditioned} must be at most distill.k"),
        ]  # fmt: skip
        for wrong, text in misfits:
            if wrong:
                raise ValueError(text)
        all_rows(self)
        return self
