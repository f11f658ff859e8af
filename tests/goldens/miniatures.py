"""Random pipelines in miniature of every family that scripts/export knows: the true layer structure, narrow.

Widths keep what cannot be told from the shapes of tensors as it is in the families: 32 groups in every normalisation, 8
heads in Stable Diffusion 1, heads of 64 channels in the others and in all text encoders."""

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from pipeline_models import follow_the_sample, tokenizer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

WIDTH, WIDTH_2 = 64, 128  # of the text encoders; diffusers tells the two of XL by them
SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}
PLAIN, ATTENTION = ("DownBlock2D", "UpBlock2D"), ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")


def text_encoder(kind=CLIPTextModel, width: int = WIDTH, layers: int = 2, act: str = "quick_gelu", pad: int = 999):
    return kind(CLIPTextConfig(
        hidden_size=width, intermediate_size=4 * width, num_attention_heads=width // 64, num_hidden_layers=layers,
        hidden_act=act, projection_dim=width, vocab_size=1000, bos_token_id=998, eos_token_id=999, pad_token_id=pad,
        initializer_factor=3.0)).eval()


def unet(channels: tuple, kinds: list, **settings) -> UNet2DConditionModel:
    model = UNet2DConditionModel(**{
        "sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "block_out_channels": channels,
        "down_block_types": [down for down, _ in kinds], "up_block_types": [up for _, up in reversed(kinds)],
        "cross_attention_dim": WIDTH} | settings).eval()
    follow_the_sample(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "time_emb_proj" in name or "add_embedding" in name or "cond_proj" in name:
                weight.mul_(3)  # what is left of timestep, size and guidance would hardly be seen
    return model


def heads(*channels: int) -> dict:
    return {"attention_head_dim": [max(1, count // 64) for count in channels], "use_linear_projection": True}


def autoencoder(scale: float, **settings) -> AutoencoderKL:
    return AutoencoderKL(block_out_channels=(32, 64), latent_channels=4, layers_per_block=1, scaling_factor=scale,
                         down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
                         sample_size=32, **settings).eval()


def sd1(kind=StableDiffusionPipeline, scheduler=None, vae=None, **settings):
    checker = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return kind(
        unet=unet((32, 64), [ATTENTION, PLAIN], attention_head_dim=8, **settings), vae=vae or autoencoder(0.18215),
        text_encoder=text_encoder(), tokenizer=tokenizer("<|endoftext|>"),
        scheduler=scheduler or PNDMScheduler(**SCHEDULE, skip_prk_steps=True), **checker)


def sd1_inpaint():
    return sd1(StableDiffusionInpaintPipeline, in_channels=9)


def lcm():
    return sd1(LatentConsistencyModelPipeline, LCMScheduler(**SCHEDULE, set_alpha_to_one=True), time_cond_proj_dim=256)


def sd1_taesd():
    return sd1(vae=AutoencoderTiny(encoder_block_out_channels=(16, 16), decoder_block_out_channels=(16, 16),
                                   num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)).eval())


def sd2(scheduler=None):
    """Base: epsilon. Its text encoder is OpenCLIP's of 24 layers without the last."""
    return StableDiffusionPipeline(
        unet=unet((64, 128), [ATTENTION, PLAIN], **heads(64, 128)), vae=autoencoder(0.18215),
        text_encoder=text_encoder(layers=23, act="gelu", pad=0), tokenizer=tokenizer("!"),
        scheduler=scheduler or PNDMScheduler(**SCHEDULE, skip_prk_steps=True, set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def sd2_v():
    return sd2(DDIMScheduler(**SCHEDULE, set_alpha_to_one=False, clip_sample=False, prediction_type="v_prediction"))


def sd_turbo():
    return sd2(EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="trailing"))


def sdxl(scheduler=None, kinds=None, **settings):
    kinds = kinds or [PLAIN, ATTENTION, ATTENTION]
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
             "projection_class_embeddings_input_dim": WIDTH_2 + 6 * 256}
    shape = {"transformer_layers_per_block": [1, 1, 2], "cross_attention_dim": WIDTH + WIDTH_2}
    return StableDiffusionXLPipeline(
        unet=unet((32, 64, 128), kinds, **heads(32, 64, 128) | added | shape | settings),
        vae=autoencoder(0.13025, force_upcast=True), text_encoder=text_encoder(layers=3),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, WIDTH_2, layers=3, act="gelu", pad=0),
        tokenizer=tokenizer("<|endoftext|>"), tokenizer_2=tokenizer("!"), add_watermarker=False,
        scheduler=scheduler or EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="leading"))


def sdxl_turbo():
    return sdxl(EulerAncestralDiscreteScheduler(**SCHEDULE, timestep_spacing="trailing"))


def pruned_sdxl():
    """As SSD-1B: transformers of several depths in one block, none in the middle."""
    return sdxl(mid_block_type=None, layers_per_block=2, transformer_layers_per_block=[1, [1, 2], [2, 1]],
                reverse_transformer_layers_per_block=[[2, 1, 2], [1, 2, 1], 1])


def lcm_sdxl():
    return sdxl(LCMScheduler(**SCHEDULE, set_alpha_to_one=True), time_cond_proj_dim=256)


def refiner():
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
             "projection_class_embeddings_input_dim": WIDTH_2 + 5 * 256}
    return StableDiffusionXLImg2ImgPipeline(
        unet=unet((32, 64, 128, 128), [PLAIN, ATTENTION, ATTENTION, PLAIN], transformer_layers_per_block=2,
                  cross_attention_dim=WIDTH_2, **heads(32, 64, 128, 128) | added),
        vae=autoencoder(0.13025, force_upcast=True), text_encoder=None, tokenizer=None,
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, WIDTH_2, layers=3, act="gelu", pad=0),
        tokenizer_2=tokenizer("!"), requires_aesthetics_score=True, force_zeros_for_empty_prompt=False,
        add_watermarker=False, scheduler=EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="leading"))


FAMILIES = {family.__name__: family for family in (
    sd1, sd1_inpaint, sd1_taesd, lcm, sd2, sd2_v, sd_turbo, sdxl, sdxl_turbo, pruned_sdxl, refiner, lcm_sdxl)}


def miniature(family: str):
    """The pipeline, the same at every call."""
    torch.manual_seed(list(FAMILIES).index(family))
    return FAMILIES[family]()
