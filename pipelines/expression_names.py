"""Which names `$` expressions of a bundle may use.

A name is a module, a builtin or a variable of the expression itself. A module leads to the functions and values
that are listed here, and objects have the methods and attributes that are listed here: a generator, for one, leads
to the globals of its caller without a single underscore.
"""

import ast


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What may be imported, and the one name under which: nothing can take the place of something else.
MODULES = {
    "dist": "torch.distributed",
    "glob": "glob",
    "math": "math",
    "monai": "monai",
    "np": "numpy",
    "numpy": "numpy",
    "os": "os",
    "torch": "torch",
}
BUILTINS = _words(
    """
    abs all any bool dict enumerate float int len list max min range reversed round set sorted str sum tuple zip
    """
)
_MEMBERS = {
    "glob": "glob",
    "math": "ceil cos exp floor inf isfinite log log2 log10 pi sin sqrt",
    "monai.data": "list_data_collate pad_list_data_collate",
    "monai.handlers": "from_engine",
    "monai.utils": "set_determinism",
    "numpy": "complex64 float16 float32 float64 int16 int32 int64 uint8 uint16",
    "os": "cpu_count sep",
    "os.path": "abspath basename dirname exists isdir isfile join normpath splitext",
    "torch": """
        bfloat16 bool channels_last channels_last_3d complex64 contiguous_format device float16 float32 float64
        int16 int32 int64 manual_seed tensor uint8
    """,
    "torch.cuda": "current_device device_count is_available is_bf16_supported set_device",
    "torch.distributed": """
        barrier destroy_process_group get_rank get_world_size init_process_group is_available is_initialized
    """,
}
ALLOWED = {f"{module}.{name}" for module, names in _MEMBERS.items() for name in names.split()}
ENVIRONMENT = _words("LOCAL_RANK LOCAL_WORLD_SIZE RANK WORLD_SIZE")
METHODS = _words(
    """
    count endswith get index items keys lower named_parameters parameters run split startswith state_dict strip to
    upper values
    """
)
ATTRIBUTES = _words(
    """
    batch data dataset device dtype epoch epoch_length iteration max_epochs metrics ndim output shape state
    transforms type
    """
)
# No power: a few digits of it fill the memory.
_CONSTRUCTS = _words(
    """
    Add And BitOr BoolOp Compare Dict DictComp Div Eq FloorDiv GeneratorExp Gt GtE IfExp In Is IsNot List ListComp
    Load Lt LtE Mod Mult Not NotEq NotIn Or Set SetComp Slice Starred Store Sub Tuple UAdd USub UnaryOp comprehension
    """
)
INERT = tuple(getattr(ast, name) for name in sorted(_CONSTRUCTS))
