#include "nn/stored_tensors.h"

#include <ATen/ops/empty.h>
#include <caffe2/serialize/file_adapter.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/serialization/unpickler.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "darkroom/base/error.h"
#include "nn/libtorch_error.h"

namespace darkroom {
namespace {

/// In place of a tensor's memory: the record it lies in, under the storage's context.
at::DataPtr place_of(const std::string& record) {
  return {nullptr, new std::string(record), [](void* name) { delete static_cast<std::string*>(name); },
          at::kCPU};
}

const std::string& record_of(const at::Tensor& tensor) {
  return *static_cast<const std::string*>(tensor.storage().data_ptr().get_context());
}

/// The module as the pickle describes it: every object has one slot, its attributes by name.
c10::IValue read_module(caffe2::serialize::PyTorchStreamReader& reader) {
  const auto [data, size] = reader.getRecord("data.pkl");
  size_t done = 0;
  const auto read = [&, pickle = static_cast<const char*>(data.get()), length = size](char* into,
                                                                                      size_t wanted) {
    const size_t got = std::min(wanted, length - done);
    std::memcpy(into, pickle + done, got);
    done += got;
    return got;
  };
  const auto unit = std::make_shared<torch::jit::CompilationUnit>();
  const auto any_class = c10::ClassType::create(c10::QualifiedName("__torch__.Stored"), unit);
  const auto type_of = [&](const c10::QualifiedName&) { return c10::StrongTypePtr(unit, any_class); };
  const auto keep_attributes = [](const c10::StrongTypePtr& type, const c10::IValue& attributes) {
    auto object = c10::ivalue::Object::create(type, 1);
    object->setSlot(0, attributes);
    return object;
  };
  torch::jit::Unpickler unpickler(read, type_of, keep_attributes, place_of, at::Device(at::kCPU));
  unpickler.set_version(reader.version());
  return unpickler.parse_ivalue();
}

void collect(const c10::IValue& module, const std::string& prefix,
             std::map<std::string, at::Tensor>& tensors) {
  const c10::IValue& attributes = module.toObjectRef().getSlot(0);
  if (!attributes.isGenericDict()) return;  // an object that the file's code puts together
  for (const auto& attribute : attributes.toGenericDict()) {
    const std::string name = prefix + attribute.key().toStringRef();
    if (attribute.value().isTensor()) tensors[name] = attribute.value().toTensor();
    if (attribute.value().isObject()) collect(attribute.value(), name + ".", tensors);
  }
}

/// A compressed record is read in pieces of this size, the content of another at once.
constexpr size_t kPiece = 1 << 16;

/// Reads a file, except the places that are left out.
class FileWithGaps : public caffe2::serialize::ReadAdapterInterface {
 public:
  using Gaps = std::map<uint64_t, size_t>;  ///< sizes by position
  FileWithGaps(const std::filesystem::path& file, Gaps gaps) : file_(file.string()), gaps_(std::move(gaps)) {}

  size_t size() const override { return file_.size(); }
  size_t read(uint64_t position, void* into, size_t size, const char* what) const override {
    const auto gap = gaps_.find(position);
    if (gap != gaps_.end() && gap->second == size) return size;
    return file_.read(position, into, size, what);
  }

 private:
  caffe2::serialize::FileAdapter file_;
  Gaps gaps_;
};

}  // namespace

struct StoredTensors::Archive {
  explicit Archive(const std::filesystem::path& path) : file(path), reader(path.string()) {
    const c10::IValue module = read_module(reader);
    collect(module, "", tensors);
    std::map<std::string, size_t> named;
    for (const auto& [name, tensor] : tensors)
      if (tensor.numel() > 0) ++named[record_of(tensor)];
    for (const auto& [name, tensor] : tensors)
      if (tensor.numel() > 0 && tensor.storage().use_count() <= named.at(record_of(tensor)))
        records.insert(record_of(tensor));
  }

  std::filesystem::path file;
  mutable caffe2::serialize::PyTorchStreamReader reader;
  std::map<std::string, at::Tensor> tensors;  ///< without their memory
  std::set<std::string> records;              ///< that hold these alone, not a list's tensor as well
};

StoredTensors::StoredTensors(const std::filesystem::path& file) {
  try {
    archive_ = std::make_unique<Archive>(file);
  } catch (const std::exception& error) {
    throw_libtorch_error("cannot read the tensors of '" + file.string() + "'", error);
  }
}

StoredTensors::~StoredTensors() = default;
StoredTensors::StoredTensors(StoredTensors&&) noexcept = default;

std::map<std::string, std::vector<int64_t>> StoredTensors::shapes() const {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const auto& [name, tensor] : archive_->tensors) shapes[name] = tensor.sizes().vec();
  return shapes;
}

at::Tensor StoredTensors::read(const std::string& name) const {
  const auto found = archive_->tensors.find(name);
  if (found == archive_->tensors.end())
    throw ModelError("'" + archive_->file.string() + "' has no tensor '" + name + "'");
  const at::Tensor& described = found->second;
  if (described.numel() == 0) return at::empty(described.sizes(), described.options());
  try {
    auto [data, size] = archive_->reader.getRecord("data/" + record_of(described));
    const at::Storage storage(c10::Storage::use_byte_size_t(), size, std::move(data));
    return at::empty({0}, described.options())
        .set_(storage, described.storage_offset(), described.sizes(), described.strides());
  } catch (const std::exception& error) {
    throw_libtorch_error("cannot read '" + name + "' of '" + archive_->file.string() + "'", error);
  }
}

bool StoredTensors::has(const std::string& name) const { return archive_->tensors.contains(name); }

std::shared_ptr<caffe2::serialize::ReadAdapterInterface> StoredTensors::without_contents() const {
  FileWithGaps::Gaps gaps;
  for (const std::string& record : archive_->records) {
    const size_t size = archive_->reader.getRecordSize("data/" + record);
    if (size > kPiece) gaps[archive_->reader.getRecordOffset("data/" + record)] = size;
  }
  return std::make_shared<FileWithGaps>(archive_->file, std::move(gaps));
}

}  // namespace darkroom
