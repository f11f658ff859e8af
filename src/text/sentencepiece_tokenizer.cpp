#include <sentencepiece_processor.h>

#include <fstream>
#include <sstream>

#include "darkroom/base/error.h"
#include "darkroom/text/tokenizer.h"
#include "text/framed_tokenizer.h"

// libc10 and libsentencepiece both define a global of this name: 4 bytes there, an object of 32 bytes here.
// The loader gives both the first one it finds; with libc10's, sentencepiece's constructor writes over
// libc10's next variable, a mutex, and TorchScript hangs. The program's own definition comes before either
// library's.
extern "C" {
alignas(16) extern char FLAGS_minloglevel[64];
alignas(16) char FLAGS_minloglevel[64] = {};
}

namespace darkroom {
namespace {

using sentencepiece::SentencePieceProcessor;

class SentencePieceTokenizer : public FramedTokenizer {
 public:
  SentencePieceTokenizer(std::unique_ptr<SentencePieceProcessor> processor, int64_t length)
      : FramedTokenizer(
            {.begin = {}, .end = processor->eos_id(), .padding = processor->pad_id(), .length = length}),
        processor_(std::move(processor)) {}

  // Of the pieces, only the next one tells.
  bool ends_word(int64_t) const override { return false; }

 protected:
  std::vector<int64_t> ids_of(std::string_view text) const override {
    std::vector<int> ids;
    const auto status = processor_->Encode({text.data(), text.size()}, &ids);
    if (!status.ok()) throw ModelError("sentencepiece cannot encode the text: " + status.ToString());
    return {ids.begin(), ids.end()};
  }

 private:
  std::unique_ptr<SentencePieceProcessor> processor_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(const std::filesystem::path& model, int64_t length) {
  // sentencepiece's own reading lets a folder's std::ios_base::failure through.
  std::ostringstream bytes;
  if (!(bytes << std::ifstream(model, std::ios::binary).rdbuf())) {
    throw ModelError(model.string() + ": cannot be read, or is empty");
  }
  auto processor = std::make_unique<SentencePieceProcessor>();
  const auto status = processor->LoadFromSerializedProto(bytes.str());
  if (!status.ok()) throw ModelError(model.string() + ": no sentencepiece model: " + status.ToString());
  if (processor->eos_id() < 0) throw ModelError(model.string() + ": has no end token (</s>)");
  if (processor->pad_id() < 0) throw ModelError(model.string() + ": has no padding token (<pad>)");
  return std::make_unique<SentencePieceTokenizer>(std::move(processor), length);
}

}  // namespace darkroom
