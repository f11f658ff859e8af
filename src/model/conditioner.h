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
#include "model/networks.h"
#include "model/reading.h"

namespace darkroom {

/// Prompts -> what the denoiser's conditioning inputs are fed. Text encoders are frozen, so a prompt is
/// encoded once and kept; each alone, so that its embedding does not depend on the batch it came in.
class Conditioner {
 public:
  /// Loads the tokenizers; their hashes must have been checked. `alone`: of several text encoders one is on
  /// the device at a time.
  Conditioner(const Manifest& manifest, Networks& networks, Diagnostics& diagnostics, bool alone = false);

  /// By role, (1, tokens, channels) each. An absent prompt is the empty text, or zeros where the model says
  /// so. A long one may have several times the text encoder's tokens.
  const Tensors& encode(const std::optional<std::string>& prompt, const std::string& place,
                        const Reading& reading = {});

  /// Knows the words of these embeddings, and forgets what the text encoders said: they are to change too.
  void adapt(const Adaptation& adaptation);

 private:
  struct Entry {
    std::optional<std::string> prompt;
    Reading reading;
    Tensors tensors;
  };
  Tensors run_encoders(const std::optional<std::string>& prompt, const std::string& place,
                       const Reading& reading);
  const Tokenizer& tokenizer(const std::string& name) const;

  const Manifest& manifest_;
  Networks& networks_;
  Diagnostics& diagnostics_;
  bool alone_;
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers_;
  std::map<std::string, std::unique_ptr<Tokenizer>> with_words_;  ///< those to which words are added
  std::list<Entry> recent_;                                       ///< newest first
};

}  // namespace darkroom
