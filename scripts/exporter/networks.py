"""The networks of a pipeline: their roles, their traceable form, and how to call the original they must equal."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from .adapters import Decoder, Denoiser, ProjectedTextEncoder, TextEncoder, adapt
from .residuals import example_residuals, residual_arguments, residual_roles

# Of each picture: what diffusers feeds to SDXL's U-Net, and to its refiner's, in their order.
SIZES_AND_CROP = ["original_height", "original_width", "crop_top", "crop_left"]
TIME_IDS = {6: [*SIZES_AND_CROP, "target_height", "target_width"], 5: [*SIZES_AND_CROP, "aesthetic_score"]}
TEXT_ENCODERS = {"text_encoder": ("text", "clip", "tokenizer"), "text_encoder_2": ("text_2", "clip_2", "tokenizer_2")}


@dataclass(frozen=True)
class Network:
    """One network to export and what is needed to check it against the original."""

    name: str
    component: str  # of the pipeline
    inputs: list[str]
    outputs: list[str]
    adapt: Callable[[nn.Module], nn.Module]  # component -> its traceable form, which shares its parameters
    original: Callable[..., tuple[Tensor, ...]]  # (untouched component, inputs) -> outputs
    example: Callable[[int, int, int], tuple]  # (batch, rows, columns of latents) -> inputs
    part: tuple[str, ...] = ("",)  # prefixes of the component's parameters that belong to it

    def parameter_names(self, module: nn.Module) -> list[str]:
        """As in the diffusers state dict."""
        buffers = dict(module.named_buffers())
        return [name for name in module.state_dict() if name not in buffers and name.startswith(self.part)]


def networks_of(pipeline: DiffusionPipeline, controlnet_ready: bool = False) -> list[Network]:
    """Throws ValueError where the pipeline's parts do not fit together or are of a kind that is not known here."""
    return [*text_encoders(pipeline), denoiser(pipeline, controlnet_ready), decoder(pipeline)]


def text_components(pipeline: DiffusionPipeline) -> list[str]:
    return [name for name in TEXT_ENCODERS if getattr(pipeline, name, None) is not None]


def is_xl(pipeline: DiffusionPipeline) -> bool:
    """Whether it is of Stable Diffusion XL's kind, whose text encoders are read one layer before the last."""
    return "text_encoder_2" in text_components(pipeline)


def text_encoders(pipeline: DiffusionPipeline) -> list[Network]:
    networks = []
    for component in text_components(pipeline):
        module, (name, _, tokenizer) = getattr(pipeline, component), TEXT_ENCODERS[component]
        if getattr(pipeline, tokenizer) is None:
            raise ValueError(f"model_index.json: the pipeline has no {tokenizer}")
        if len(getattr(pipeline, tokenizer)) > module.config.vocab_size:
            raise ValueError(f"{tokenizer}: has {len(getattr(pipeline, tokenizer))} tokens, but {component} knows "
                             f"{module.config.vocab_size}")
        projected = type(module) is CLIPTextModelWithProjection
        penultimate = is_xl(pipeline)
        networks.append(Network(
            name, component, ["ids"], ["hidden", "layers"] + ["pooled"] * projected,
            partial(adapt, adapter=ProjectedTextEncoder if projected else TextEncoder, penultimate=penultimate),
            partial(encode, penultimate=penultimate), partial(example_ids, module.config)))
    return networks


def encode(text: CLIPTextModel | CLIPTextModelWithProjection, ids: Tensor, penultimate: bool) -> tuple[Tensor, ...]:
    """What diffusers' pipelines take for a clip_skip of none, 1, 2, ..., and the pooled embedding."""
    output = text(input_ids=ids, output_hidden_states=True)
    states = output.hidden_states
    if penultimate:
        layers = [states[-(skip + 2)] for skip in range(len(states) - 2)]
        hidden = states[-2]
    else:
        norm = getattr(text, "text_model", text).final_layer_norm
        layers = [norm(states[-(skip + 1)]) for skip in range(len(states) - 1)]
        hidden = output.last_hidden_state
    pooled = (output.text_embeds,) if hasattr(output, "text_embeds") else ()
    return hidden, torch.stack(layers, dim=1), *pooled


def example_ids(config: CLIPTextConfig, batch: int, rows: int, columns: int) -> tuple[Tensor]:
    ids = torch.randint(0, config.vocab_size - 2, (batch, config.max_position_embeddings))
    for row in range(batch):  # the vocabulary's last is the end, from where on prompts are padded with it
        ids[row, 3 + 4 * row :] = config.vocab_size - 1
    return (ids,)


def denoiser(pipeline: DiffusionPipeline, controlnet_ready: bool = False) -> Network:
    unet, latent_channels = pipeline.unet.config, pipeline.vae.config.latent_channels
    refuse_unknown(unet)
    context = sum(getattr(pipeline, name).config.hidden_size for name in text_components(pipeline))
    if unet.cross_attention_dim != context:
        raise ValueError(f"the U-Net takes a context of {unet.cross_attention_dim} channels, but the text encoders "
                         f"give {context}")
    length = getattr(pipeline, text_components(pipeline)[0]).config.max_position_embeddings
    shapes: dict[str, list[int]] = {"timestep": [], "context": [length, context]}
    if unet.addition_embed_type == "text_time":
        shapes |= {"pooled": [pooled_channels(pipeline)], "time_ids": [len(time_ids(pipeline))]}
    if unet.time_cond_proj_dim is not None:
        shapes["guidance"] = [1]
    pictures = {"sample": latent_channels}
    if unet.in_channels == 2 * latent_channels + 1:
        pictures |= {"mask": 1, "masked_latents": latent_channels}
    elif unet.in_channels != latent_channels:
        raise ValueError(f"the U-Net takes {unet.in_channels} channels; known are {latent_channels}, as the "
                         f"autoencoder's latents have, and {2 * latent_channels + 1} for inpainting")
    residuals = residual_roles(unet) if controlnet_ready else []
    roles = [*pictures, *shapes, *residuals]

    def example(batch: int, rows: int, columns: int) -> tuple[Tensor, ...]:
        given = {role: torch.randn(batch, channels, rows, columns) for role, channels in pictures.items()}
        given |= {role: torch.randn(batch, *shape) for role, shape in shapes.items()}
        given["timestep"] = torch.linspace(999, 0.5, batch)
        if "time_ids" in given:
            given["time_ids"] = torch.randint(0, 129, given["time_ids"].shape) * 8.0
        if "guidance" in given:
            given["guidance"] = 6.5 * torch.rand(batch, 1)
        if controlnet_ready:
            given |= example_residuals(unet, batch, rows, columns)
        return tuple(given[role] for role in roles)

    def original(module: UNet2DConditionModel, *inputs: Tensor) -> tuple[Tensor]:
        given = dict(zip(roles, inputs, strict=True))
        condition = None
        if "guidance" in given:
            condition = pipeline.get_guidance_scale_embedding(given["guidance"].flatten(), unet.time_cond_proj_dim)
        added = {"text_embeds": given["pooled"], "time_ids": given["time_ids"]} if "pooled" in given else None
        # The U-Net alone where they are zeros: that these stand for none is checked so.
        heard = residual_arguments(given) if any(given[role].any() for role in residuals) else {}
        return module(torch.cat([given[role] for role in pictures], dim=1), given["timestep"], given["context"],
                      timestep_cond=condition, added_cond_kwargs=added, return_dict=False, **heard)

    return Network("unet", "unet", roles, ["prediction"], partial(adapt, adapter=Denoiser, roles=roles), original, example)


# What the Denoiser knows nothing about: a U-Net that sets another value would be exported without it.
KNOWN = {"time_embedding_type": ["positional"], "class_embed_type": [None], "num_class_embeds": [None],
         "addition_embed_type": [None, "text_time"], "encoder_hid_dim_type": [None]}


def refuse_unknown(config) -> None:
    for key, values in KNOWN.items():
        if config[key] not in values:
            raise ValueError(f"unet/config.json: {key}: {config[key]!r} is not known to the exporter")


def pooled_channels(pipeline: DiffusionPipeline) -> int:
    if not is_xl(pipeline):
        raise ValueError("the U-Net takes a pooled embedding, which no text encoder gives")
    return pipeline.text_encoder_2.config.projection_dim


def time_ids(pipeline: DiffusionPipeline) -> list[str]:
    """Names of the numbers that a U-Net of SDXL's kind is told about the picture; empty for others."""
    unet = pipeline.unet.config
    if unet.addition_embed_type != "text_time":
        return []
    width = unet.projection_class_embeddings_input_dim - pooled_channels(pipeline)
    for count, names in TIME_IDS.items():
        if width == count * unet.addition_time_embed_dim:
            return names
    raise ValueError(f"the U-Net's added embedding has {unet.projection_class_embeddings_input_dim} channels, which "
                     f"are not {pooled_channels(pipeline)} of the pooled embedding and 5 or 6 of "
                     f"{unet.addition_time_embed_dim} for numbers")


def decoder(pipeline: DiffusionPipeline) -> Network:
    vae = pipeline.vae.config
    if vae.get("latents_mean") is not None or vae.get("latents_std") is not None:
        raise ValueError("vae/config.json: latents_mean, latents_std: latents scaled by channel are not known to the "
                         "exporter")
    return Network("decoder", "vae", ["latents"], ["image"], Decoder,
                   lambda module, latents: (module.decode(latents).sample,),
                   lambda batch, rows, columns: (torch.randn(batch, vae.latent_channels, rows, columns),),
                   part=("decoder.", "post_quant_conv."))
