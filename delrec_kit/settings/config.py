"""Settings: one frozen pydantic model a stage, named profiles, and overrides such as ``distill.k=20``."""

import datetime
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from delrec_kit.settings.errors import KitError, nearest
from delrec_kit.settings.methods import ADAPTED, FROZEN

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


class StageConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(StageConfig):
    """01: which interactions, and how they become training sequences, targets and candidate sets."""

    dataset: Literal["demo", "ml-100k", "ml-1m", "beauty", "home-kitchen", "steam", "recbole", "llara", "custom"] = (
        "demo"
    )
    data_dir: str | None = Field(None, description="folder with the raw files; None downloads ml-100k or ml-1m")
    columns: dict[str, str] = Field({}, description="custom only: what the files call user, item, timestamp, title …")
    candidates: Annotated[int, Field(ge=2)] = Field(15, description="m: size of the candidate set, answer included")
    distractors: Literal["uniform", "popularity"] = Field("uniform", description="how the others are drawn")
    split: Literal["auto", "leave-one-out", "temporal", "by-user"] = Field(
        "auto", description="auto: the split that the data brings, else leave-one-out; the others are 8:1:1"
    )
    core: CountOrNone = Field(0, description="k-core: drop users and items with fewer interactions; 0 keeps all")
    min_rating: float | None = Field(None, description="leave out interactions rated lower; None keeps all")
    repeats: Literal["keep", "first", "last"] = Field("keep", description="of a user's choices of the same item")
    max_length: CountOrNone = Field(0, description="keep the last interactions of each user; 0 keeps all")
    untitled: Literal["name", "drop"] = Field("name", description="items without a title: named by id, or left out")
    min_interactions: Annotated[int, Field(ge=3)] = Field(3, description="users with fewer are left out")
    world_users: Count = Field(1000, description="demo only: users in the made world")
    world_items: Count = Field(360, description="demo only: films in the made world")


TEACHER_DEFAULTS = {"gru4rec": {"layers": 1}}  # where they differ from the fields of TeacherConfig


class TeacherConfig(StageConfig):
    """02: the conventional sequential recommender whose behaviour is distilled."""

    name: Literal["sasrec", "gru4rec", "caser"] = "sasrec"
    length: Count = Field(50, description="L: last interactions that the teacher reads")
    width: Count = 64
    layers: Count = 2
    heads: Count = 1
    dropout: Share = 0.2
    learning_rate: Rate = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    batch: Count = 32
    epochs: Count = Field(25, description="at most; the learning rate falls to zero over them")
    patience: Count = Field(8, description="epochs without a better validation NDCG@10 before stopping")
    folds: Annotated[int, Field(ge=2)] = Field(2, description="cross-fitting by user: lists come from unseen users")
    prefixes: Count = Field(4, description="prefixes of each training sequence that the teacher labels for stage 1")
    top: Count = Field(20, description="length of the cached top lists; h may be at most this")

    @model_validator(mode="before")
    @classmethod
    def _of_the_model(cls, values: Any) -> Any:
        """Fields that are not given take the value that suits the model named."""
        return {**TEACHER_DEFAULTS.get(values.get("name"), {}), **values} if isinstance(values, Mapping) else values


class LlmConfig(StageConfig):
    """The language model, and how its prompt is written."""

    name: str = Field("tiny", description="'tiny', 'minilm', a hub id such as google/flan-t5-xl, or a folder")
    revision: str | None = None
    quantization: Literal["nf4", "fp4", "int8", "bf16", "fp16", "fp32"] = "nf4"
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="of quantised layers; bfloat16 is 1.5 times faster on a CPU that multiplies it (AMX)"
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations: a third slower, much less memory")
    history: Count = Field(10, description="n: last titles of the history that the prompt lists")
    chat: Literal["auto", "on", "off"] = Field("auto", description="decoder-only: put the prompt in its chat template")
    verbalizer: Literal["title", "index", "first_token"] = Field(
        "title",
        description="what is scored: the whole title, a letter before it, or (the authors' code) its first token",
    )
    length_normalised: bool = Field(False, description="score a title by its mean, not its summed, log-likelihood")
    prior: Literal["none", "popularity"] = Field(
        "popularity",
        description="what is added to a title's score: nothing, or the log of its share of the training interactions, "
        "which no prompt tells",
    )
    among: Literal["listed", "catalogue"] = Field(
        "listed",
        description="what training ranks an answer among: the m candidates that the prompt lists, or, masked encoders "
        "only, the whole catalogue, the prompt listing none",
    )
    pooling: Literal["history", "prompt", "answer"] = Field(
        "history", description="masked encoders: whose hidden states are compared with the titles"
    )


class TrainConfig(StageConfig):
    """What stages 1 and 2 share."""

    examples: Count = Field(2000, description="training examples to draw, at most")
    epochs: Count = 2
    batch: Count = 20
    learning_rate: Rate = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-5
    warmup: Share = 0.1
    clip: Rate = 2.0
    optimizer: Literal["adamw", "paged_lion_8bit"] = "adamw"
    validations: Count = Field(8, description="validations (and checkpoints) spread over the training")
    valid_users: Count = Field(256, description="validation users scored each time")
    patience: Count = Field(3, description="validations without improvement before stopping")


class DistillConfig(TrainConfig):
    """03, stage 1: only the soft prompt P learns."""

    examples: Count = 1500
    learning_rate: Rate = 5e-2
    k: Count = Field(10, description="soft tokens")
    conditioned: CountOrNone = Field(
        0, description="c: how many of the k depend on what the teacher expects of the user; 0: P is constant"
    )
    warm_start: bool = Field(
        True, description="conditioned tokens begin at a linear map fitted to all of the teacher's labels, in seconds"
    )
    h: Count = Field(5, description="teacher items in an RPS candidate set")
    a: Annotated[int, Field(ge=3)] = Field(4, description="items of the worked example in temporal analysis")
    rps: Literal["hard", "listwise"] = "listwise"
    show_rest: bool = Field(False, description="RPS prompts list R_2 … R_h after the soft prompt")
    temperature: Rate = Field(1.0, description="of the teacher's softmax in listwise RPS")
    weighting: Literal["dynamic", "fixed"] = "dynamic"
    weight_ta: Annotated[float, Field(ge=0)] = 1.0
    weight_rps: Annotated[float, Field(ge=0)] = 1.0


def _known_methods(names: tuple[str, ...], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise ValueError(f"no method '{name}'{nearest(name, known)}")
    if len(set(names)) < len(names):
        raise ValueError("a method stands there twice")
    return names


def _known_sets(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        distractors, _, m = name.partition("-")
        if distractors not in ("uniform", "popularity") or not m.isdecimal() or int(m) < 2:
            raise ValueError(f"'{name}' is no candidate set; write uniform-M or popularity-M with M of at least 2")
    return names


class FinetuneConfig(TrainConfig):
    """04, stage 2: P stays, the LLM learns by AdaLoRA."""

    methods: Annotated[tuple[str, ...], AfterValidator(partial(_known_methods, known=ADAPTED))] = Field(
        ("llm_finetuned", "delrec"),
        min_length=1,
        description="rows of delrec_kit/settings/methods.py with an adapter, each trained by itself",
    )
    learning_rate: Rate = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-6
    adapter: Literal["adalora", "lora", "none"] = "adalora"
    targets: tuple[str, ...] | None = Field(None, description="layers that get an adapter; None: query and value")
    init_r: Count = Field(12, description="rank that AdaLoRA starts from")
    target_r: Count = Field(8, description="rank that AdaLoRA ends with on average, and LoRA's rank")
    alpha: Rate = 32.0
    dropout: Share = Field(0.0, description="before the adapter; its random numbers cost a CPU a fifth of a step")


class EvaluationConfig(StageConfig):
    """05: test-set scoring, intervals and pictures."""

    methods: Annotated[tuple[str, ...], AfterValidator(partial(_known_methods, known=FROZEN))] = Field(
        ("llm_zero_shot", "llm_untrained_prompt", "llm_distilled_prompt"),
        min_length=1,
        description="rows of delrec_kit/settings/methods.py with the frozen language model",
    )
    fuse: Literal["none", "weight", "gate"] = Field(
        "weight", description="weigh distilled P and adapted methods with the teacher, on validation; gate: gated too"
    )
    draws: Count = Field(1, description="D: draws of the distractors, over which a user's metrics are averaged")
    sets: Annotated[tuple[str, ...], AfterValidator(_known_sets)] = Field(
        (), description="more candidate sets to rank, such as uniform-20 or popularity-15"
    )
    orders: Count = Field(1, description="random orders of the listed candidates that are tried; 1: only the drawn one")
    rerank: CountOrNone = Field(0, description="N: what is weighed with the teacher reranks its first N too; 0: not")
    full_users: CountOrNone = Field(0, description="users for whom the same methods rank the whole catalogue")
    batch: Count = 32
    resamples: Count = Field(2000, description="bootstrap and randomisation resamples")
    attention_users: Count = Field(64, description="test users for attention and recency profiles")
    inside: Annotated[tuple[str, ...], AfterValidator(partial(_known_methods, known=(*FROZEN, *ADAPTED)))] = Field(
        ("llm_distilled_prompt", "delrec"),
        description="rows that notebook 05 looks inside, as far as the run has them; else its last row",
    )


class KitConfig(StageConfig):
    """Everything a run depends on. ``config.json`` in the run directory is this, resolved."""

    profile: str = "demo"
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataConfig = DataConfig()
    teacher: TeacherConfig = TeacherConfig()
    llm: LlmConfig = LlmConfig()
    distill: DistillConfig = DistillConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _fit_together(self) -> "KitConfig":
        if self.evaluation.rerank > self.teacher.top:
            raise ValueError(
                f"evaluation.rerank={self.evaluation.rerank} must be at most teacher.top={self.teacher.top}"
            )
        if self.evaluation.orders > 1 and self.llm.among == "catalogue":
            raise ValueError(
                "llm.among=catalogue lists no candidates, so that they have no order; set evaluation.orders=1"
            )
        if self.evaluation.full_users and self.llm.verbalizer == "index":
            raise ValueError("llm.verbalizer=index ranks listed candidates only; set evaluation.full_users=0")
        if 0 < self.data.max_length < 3:
            raise ValueError(f"data.max_length={self.data.max_length} must be 0 or at least 3")
        if self.distill.h > self.teacher.top:
            raise ValueError(f"distill.h={self.distill.h} must be at most teacher.top={self.teacher.top}")
        if self.distill.conditioned > self.distill.k:
            raise ValueError(
                f"distill.conditioned={self.distill.conditioned} must be at most distill.k={self.distill.k}"
            )
        if self.llm.among == "listed" and self.distill.h >= self.data.candidates:
            raise ValueError(f"distill.h={self.distill.h} must be below data.candidates={self.data.candidates}")
        if not self.distill.weight_ta and not self.distill.weight_rps:
            raise ValueError("distill.weight_ta and distill.weight_rps are both 0; stage 1 needs at least one task")
        if self.teacher.width % self.teacher.heads:
            raise ValueError(f"teacher.heads={self.teacher.heads} must divide teacher.width={self.teacher.width}")
        if self.finetune.adapter == "adalora" and self.finetune.init_r <= self.finetune.target_r:
            raise ValueError(
                f"finetune.init_r={self.finetune.init_r} must be above finetune.target_r={self.finetune.target_r}"
            )
        return self


PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "smoke": {
        "data": {"world_users": 100},
        "teacher": {"width": 16, "layers": 1, "epochs": 4, "prefixes": 1},
        "distill": {"examples": 40, "epochs": 1, "k": 4, "validations": 2, "valid_users": 16},
        "finetune": {
            "examples": 240, "epochs": 1, "validations": 2, "valid_users": 64, "learning_rate": 2e-2,
            "methods": ("llm_finetuned", "llm_finetuned_teacher_items", "llm_finetuned_joint_prompt",
                        "llm_distilled_weights", "delrec"),
        },
        "evaluation": {
            "resamples": 200, "attention_users": 8, "rerank": 20, "full_users": 8, "fuse": "gate",
            "draws": 2, "sets": ("popularity-10",), "orders": 2,
            "methods": ("llm_zero_shot", "llm_described", "llm_teacher_items", "llm_untrained_prompt",
                        "llm_distilled_prompt", "llm_shuffled_prompt"),
        },
    },
    "demo": {
        "teacher": {"epochs": 20, "dropout": 0.1, "learning_rate": 5e-3},
        "finetune": {"learning_rate": 2e-2},
        "evaluation": {"methods": ("llm_zero_shot", "llm_untrained_prompt", "llm_distilled_prompt",
                                   "llm_shuffled_prompt")},
    },
    "cpu": {
        "data": {"dataset": "ml-100k"},
        "distill": {"examples": 1000, "epochs": 1, "validations": 5, "valid_users": 128},
        "finetune": {"examples": 2000, "epochs": 1, "validations": 5, "valid_users": 128, "learning_rate": 1e-2},
    },
    "minilm": {
        "data": {"dataset": "ml-100k"},
        "teacher": {"top": 100, "prefixes": 16},
        "llm": {"name": "minilm", "among": "catalogue", "history": 5},
        # without temporal analysis, which cost three times as long and made P worse there (docs/what_we_tried.md)
        "distill": {"examples": 3000, "epochs": 1, "batch": 32, "validations": 5, "valid_users": 943,
                    "learning_rate": 8e-2, "k": 4, "conditioned": 4, "weight_ta": 0.0},
        "finetune": {"examples": 3000, "epochs": 1, "batch": 32, "validations": 5, "learning_rate": 1e-2},
    },
    "colab-t4": {
        "data": {"dataset": "ml-100k"},
        "llm": {"name": "google/flan-t5-xl", "gradient_checkpointing": True},
        "distill": {"k": 100, "batch": 8, "optimizer": "paged_lion_8bit", "learning_rate": 5e-3},
        "finetune": {"batch": 8, "optimizer": "paged_lion_8bit", "learning_rate": 1e-4, "dropout": 0.05},
    },
    "paper": {
        "data": {"dataset": "ml-100k"},
        "teacher": {"width": 100, "dropout": 0.5, "batch": 128, "learning_rate": 1e-3, "epochs": 100, "patience": 15},
        "llm": {"name": "google/flan-t5-xl", "gradient_checkpointing": True, "prior": "none"},
        "distill": {"k": 100, "h": 10, "a": 6, "rps": "hard", "show_rest": True, "batch": 20,
                    "optimizer": "paged_lion_8bit", "learning_rate": 5e-3, "examples": 20000},
        "finetune": {"batch": 20, "optimizer": "paged_lion_8bit", "learning_rate": 1e-4, "examples": 20000,
                     "dropout": 0.05},
    },
}  # fmt: skip


def resolve(profile: str = "demo", overrides: Sequence[str] = (), **top: Any) -> KitConfig:
    """The settings of ``profile`` with ``stage.field=value`` overrides on top.

    ``top`` holds ready values by dotted name or top-level field, ``None`` meaning "not given":
    ``resolve("cpu", ["distill.k=20"], seed=3, **{"data.dataset": "ml-100k"})``.
    Raises KitError for an unknown profile, stage, field or a value that does not fit.
    """
    if not isinstance(profile, str) or profile not in PROFILES:
        raise KitError(f"unknown profile '{profile}'{nearest(str(profile), PROFILES)}")
    values: dict[str, Any] = {"profile": profile, **{stage: dict(v) for stage, v in PROFILES[profile].items()}}
    for text in overrides:
        key, sign, raw = text.partition("=")
        if not sign:
            raise KitError(f"--set takes stage.field=value, not '{text}'")
        _place(values, key.strip(), _parsed(key.strip(), raw.strip()))
    for key, value in top.items():
        if value is not None:
            _place(values, key, value)
    return validated(values)


def validated(values: Mapping[str, Any]) -> KitConfig:
    """A KitConfig from plain values; the first misfit becomes a KitError that names the key."""
    if not isinstance(values, Mapping):
        raise KitError(f"settings are a table of stages, not {type(values).__name__}")
    try:
        return KitConfig.model_validate(values)
    except ValidationError as error:
        raise KitError(_misfit(error.errors()[0])) from None


def _misfit(error: Mapping[str, Any]) -> str:
    key = ".".join(map(str, error["loc"]))
    if not key:
        return f"settings do not fit together: {error['ctx']['error']}"
    if error["type"] == "extra_forbidden":
        return f"unknown setting '{key}'{_close(key, settable_keys())}"
    if error["type"] == "literal_error":
        return f"unknown {key} '{error['input']}'{nearest(str(error['input']), _choices(key))}"
    return f"setting {key}={error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _choices(key: str) -> list[str]:
    stage, _, field = key.partition(".")
    return [str(choice) for choice in get_args(_stages()[stage].model_fields[field].annotation)]


def _parsed(key: str, raw: str) -> Any:
    """A number, a truth value or null by YAML's rules, but text for a setting that is text."""
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError:
        raise KitError(f"--set {key}: '{raw}' is not a value; put text with signs in quotation marks") from None
    stage, _, field = key.partition(".")
    model = _stages().get(stage)
    textual = model and field in model.model_fields and str in _leaves(model.model_fields[field].annotation)
    return raw if textual and isinstance(value, int | float | datetime.date) else value


def _leaves(annotation: Any) -> set[type]:
    parts = get_args(annotation)
    return {annotation} if not parts else {type(p) if isinstance(p, str) else p for p in parts}


def _place(values: dict[str, Any], key: str, value: Any) -> None:
    stage, _, field = key.partition(".")
    known = settable_keys()
    if key not in known:
        raise KitError(f"unknown setting '{key}'{_close(key, known)}")
    if field:
        values.setdefault(stage, {})[field] = value
    else:
        values[key] = value


def _close(key: str, known: Sequence[str]) -> str:
    hint = nearest(key, known)
    return hint.partition(" (known:")[0] or f"; known stages: {', '.join(_stages())}"


def _stages() -> dict[str, type[StageConfig]]:
    return {
        name: info.annotation
        for name, info in KitConfig.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, StageConfig)
    }


def settable_keys() -> list[str]:
    """Every key that ``--set`` takes."""
    return ["seed", *(f"{stage}.{field}" for stage, model in _stages().items() for field in model.model_fields)]
