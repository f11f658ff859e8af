#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "darkroom/diffusion/flow.h"
#include "darkroom/diffusion/schedule.h"
#include "darkroom/diffusion/spacing.h"

namespace darkroom {

/// model.json, read and checked. The README documents the keys; every member here is one of them.
struct Manifest {
  struct MergedLora {
    std::string file;  ///< its name, for the reader: it is not in the folder
    std::string sha256;
    double weight = 1;
  };
  struct Network {
    std::string file;
    std::string sha256;
    std::vector<std::string> inputs, outputs;
    std::string stored_precision;         ///< "fp32", "fp16" or "bf16"
    std::vector<std::string> precisions;  ///< what it may run at; empty: any
    int64_t parameters = 0;               ///< count, for the memory estimate
    double activation_bytes_per_pixel =
        0;  ///< at fp32, per output pixel and batch item: measured by the exporter
  };
  struct Tokenizer {
    std::string kind;  ///< "clip-bpe" or "sentencepiece"
    std::string file;
    std::string sha256;
    std::string pad = "end";  ///< "end" or "zero" (clip-bpe only)
    int64_t length = 77;
  };
  /// An output of a text encoder, and the tokenizer of what it reads.
  struct Source {
    std::string network, output, tokenizer;
  };
  struct Conditioning {
    std::string role;               ///< denoiser input it feeds, such as "context"
    std::vector<Source> from = {};  ///< joined on the channels
    std::string empty = "encode";   ///< an absent negative prompt: "encode" (the empty text) or "zeros"
    std::vector<std::string> values = {};  ///< numbers about the picture, in place of all this: a row of them
  };
  struct Stage {
    std::string kind;  ///< "diffusion"
    std::string denoiser;
    std::vector<std::string> state;        ///< channels, rows, columns: "4", "h/8", "w/8"
    std::string prediction;                ///< epsilon, v, sample, flow
    std::string variance = "fixed_small";  ///< DDPM's
    ScheduleSpec schedule;                 ///< of kind "flow": its steps alone count
    std::optional<FlowSpec> flow;          ///< rectified flow
    int64_t steps_offset = 0;
    bool set_alpha_to_one = true;
    /// Whose ends diffusers' sigma samplers give to karras and other curves: the model's own spacing.
    Spacing base_spacing = Spacing::linspace;
    /// Noise levels of the schedule align-your-steps, the last above 0; empty: the model has none.
    std::vector<double> align_your_steps;
    std::optional<double> clip_sample;                     ///< range; none: no clipping
    std::optional<double> threshold_ratio, threshold_max;  ///< dynamic thresholding; wins over clipping
  };
  struct Output {
    std::string decoder;
    double scale = 1, shift = 0;
    int64_t factor = 8;  ///< pixels per latent row
  };
  struct Defaults {
    int64_t width = 0, height = 0, steps = 0;
    double cfg_scale = 1;
    double aesthetic_score = 6, negative_aesthetic_score = 2.5;  ///< as diffusers'
    std::string sampler, schedule;
  };

  std::filesystem::path folder;
  int64_t format = 1;
  std::string name, license, summary;
  std::vector<MergedLora> merged;  ///< LoRA files that the exporter put into the weights
  std::map<std::string, Network> networks;
  std::map<std::string, Tokenizer> tokenizers;
  std::vector<Conditioning> conditioning;
  std::vector<Stage> stages;
  Output output;
  Defaults defaults;

  /// The networks that conditioning takes from, in its order.
  std::vector<std::string> text_encoders() const;
};

/// Reads FOLDER/model.json. Throws ModelError naming file and key for an unknown key, a missing one, a wrong
/// type or value, or a file it names that is not there. Hashes are checked later, just before a file is
/// loaded.
Manifest read_manifest(const std::filesystem::path& folder);

/// Whether an input takes what a ControlNet adds: "residual_0", ..., "residual_mid". Without one it gets
/// zeros of the shape (1, 1, 1, 1).
bool is_residual(std::string_view role);

/// Compares every file the manifest names with its SHA-256. Loading TorchScript runs code from the file, so
/// this comes first. Throws ModelError naming the file and both hashes.
void check_hashes(const Manifest& manifest);

}  // namespace darkroom
