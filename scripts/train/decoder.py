"""More training for the decoder alone. The encoder does not move, so latents and a denoiser trained on them stay valid."""

import autoencoder

STEPS, PEAK = 7500, 5e-4


def train(folder, minutes=None) -> None:
    if (folder / "decoder.pt").exists():
        return
    model = autoencoder.trained(folder)
    parameters = [*model.decoder.parameters(), *model.post_quant_conv.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    autoencoder.fit(model, folder, "decoder", parameters, minutes, STEPS, PEAK, encoder_moves=False)
