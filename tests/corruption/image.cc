#include "tests/corruption/image.h"

#include "base/check.h"

namespace flotilla::corruption {
namespace {

const rocksdb::IOOptions kIo;

void MakeParents(const std::string& path, sim::SimFileSystem& files) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    CHECK(files.CreateDirIfMissing(path.substr(0, slash), kIo, nullptr).ok());
  }
}

void ReadInto(sim::SimFileSystem& files, const std::string& directory, Image& image) {
  std::vector<std::string> names;
  CHECK(files.GetChildren(directory, kIo, &names, nullptr).ok()) << directory;
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const std::string path = directory + "/" + name;
    bool is_directory = false;
    CHECK(files.IsDirectory(path, kIo, &is_directory, nullptr).ok()) << path;
    if (is_directory) {
      ReadInto(files, path, image);
    } else {
      CHECK(rocksdb::ReadFileToString(&files, path, &image[path]).ok()) << path;
    }
  }
}

}  // namespace

Image ReadImage(sim::SimFileSystem& files, const std::string& directory) {
  Image image;
  ReadInto(files, directory, image);
  return image;
}

void WriteImage(const Image& image, sim::SimFileSystem& files) {
  for (const auto& [path, content] : image) {
    MakeParents(path, files);
    CHECK(rocksdb::WriteStringToFile(&files, content, path, false).ok()) << path;
  }
}

}  // namespace flotilla::corruption
