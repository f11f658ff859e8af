#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "darkroom/base/diagnostics.h"
#include "darkroom/model/manifest.h"
#include "darkroom/nn/network.h"
#include "darkroom/text/tokenizer.h"
#include "model/adaptation.h"
#include "model/reading.h"

namespace darkroom {

/// Prompts -> what the denoiser's conditioning inputs are fed. Text encoders are frozen, so a prompt is
/// encoded once and kept; each alone, so that its embedding does not depend on the batch it came in.
class Conditioner {
 public:
  /// Loads the tokenizers, and with `keep_encoders` the text encoders; otherwise these are loaded when a new
  /// prompt comes and freed again by release(). Hashes must have been checked.
  Conditioner(const Manifest& manifest, at::Device device, at::ScalarType precision, bool keep_encoders,
              Diagnostics& diagnostics);

  /// By role, (1, tokens, channels) each. An absent prompt is the empty text, or zeros where the model says
  /// so. A long one may have several times the text encoder's tokens.
  const Tensors& encode(const std::optional<std::string>& prompt, const std::string& place,
                        const Reading& reading = {});

  /// Frees the text encoders unless they are to be kept.
  void release();

  /// Changes the text encoders, those loaded later too, and forgets what they said before.
  void adapt(std::shared_ptr<const Adaptation> adaptation);

 private:
  struct Entry {
    std::optional<std::string> prompt;
    Reading reading;
    Tensors tensors;
  };
  Tensors run_encoders(const std::optional<std::string>& prompt, const std::string& place,
                       const Reading& reading);
  Network& encoder(const std::string& name);

  const Manifest& manifest_;
  at::Device device_;
  at::ScalarType precision_;
  bool keep_encoders_;
  Diagnostics& diagnostics_;
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers_;
  std::shared_ptr<const Adaptation> adaptation_;  ///< null: none yet
  std::map<std::string, Network> encoders_;
  std::list<Entry> recent_;  ///< newest first
};

}  // namespace darkroom
