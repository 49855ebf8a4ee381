#include "base/status.h"

#include <absl/strings/cord.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace flotilla {
namespace {

const std::vector<Reason>& AllReasons() {
  static const std::vector<Reason> kAll = {
#define FLOTILLA_REASON(name, text, code, retry, exit, meaning) Reason::name,
#include "base/reasons.inc"
#undef FLOTILLA_REASON
  };
  return kAll;
}

std::string CodeName(absl::StatusCode code) {
  const auto name = absl::StatusCodeToString(code);
  return std::string(name.data(), name.size());
}

// ---- the table ------------------------------------------------------------------------------

TEST(Reasons, ComeBackFromTheirNames) {
  std::set<std::string_view> names;
  for (const Reason reason : AllReasons()) {
    const ReasonInfo& info = InfoOf(reason);
    EXPECT_TRUE(names.insert(info.name).second) << info.name << " is there twice";
    EXPECT_EQ(ReasonFromName(info.name), reason) << info.name;
    EXPECT_NE(info.code, absl::StatusCode::kOk) << info.name;
    EXPECT_FALSE(info.meaning.empty()) << info.name;
  }
  EXPECT_EQ(ReasonFromName("NONE"), std::nullopt);
  EXPECT_EQ(ReasonFromName(""), std::nullopt);
  EXPECT_EQ(ReasonFromName("not_leader"), std::nullopt);
}

TEST(Reasons, UnknownOnesReadAsInternal) {
  EXPECT_EQ(InfoOf(Reason::kNone).name, "INTERNAL");
  EXPECT_EQ(InfoOf(static_cast<Reason>(-1)).name, "INTERNAL");
  EXPECT_EQ(InfoOf(static_cast<Reason>(AllReasons().size() + 1)).name, "INTERNAL");
}

// What callers were promised: code, retry class, exit code and meaning.
TEST(Reasons, AreWhatTheReferenceSays) {
  std::ifstream file("proto/ERRORS.md");
  ASSERT_TRUE(file.good());
  std::stringstream reference;
  reference << file.rdbuf();
  for (const Reason reason : AllReasons()) {
    const ReasonInfo& info = InfoOf(reason);
    std::stringstream line;
    line << "| `" << info.name << "` | " << CodeName(info.code) << " | `" << RetryName(info.retry)
         << "` | " << info.exit_code << " | " << info.meaning << " |\n";
    EXPECT_NE(reference.str().find(line.str()), std::string::npos) << line.str();
  }
}

TEST(Reasons, OnlyErrorsWithoutEffectAreSafeToRepeat) {
  for (const Reason reason : AllReasons()) {
    const ReasonInfo& info = InfoOf(reason);
    const bool wrong_input = info.code == absl::StatusCode::kInvalidArgument ||
                             info.code == absl::StatusCode::kNotFound ||
                             info.code == absl::StatusCode::kFailedPrecondition;
    if (wrong_input) EXPECT_EQ(info.retry, Retry::kNever) << info.name;
    if (info.retry == Retry::kSafe)
      EXPECT_EQ(info.exit_code, info.code == absl::StatusCode::kResourceExhausted ? 6 : 5)
          << info.name;
  }
  EXPECT_EQ(InfoOf(Reason::kOutcomeUnknown).retry, Retry::kCheckOutcome);
}

TEST(Reasons, EveryRetryClassHasAName) {
  EXPECT_EQ(RetryName(Retry::kSafe), "SAFE");
  EXPECT_EQ(RetryName(Retry::kRefreshRoute), "REFRESH_ROUTE");
  EXPECT_EQ(RetryName(Retry::kRestartTxn), "RESTART_TXN");
  EXPECT_EQ(RetryName(Retry::kCheckOutcome), "CHECK_OUTCOME");
  EXPECT_EQ(RetryName(Retry::kNever), "NEVER");
}

// ---- statuses -------------------------------------------------------------------------------

TEST(Status, EveryReasonTravelsInAStatusWithItsMetadata) {
  const ErrorMetadata metadata = {
      {"leader_node", "3"}, {"empty", ""}, {"binary", std::string("\0\xff", 2)}};
  for (const Reason reason : AllReasons()) {
    const Status status = Error(reason, "what happened", metadata);
    EXPECT_EQ(status.code(), InfoOf(reason).code);
    EXPECT_EQ(ReasonOf(status), reason);
    EXPECT_EQ(MetadataOf(status), metadata);
    EXPECT_EQ(MessageOf(status), "what happened");
    EXPECT_TRUE(MetadataOf(Error(reason, "")).empty());
  }
}

TEST(Status, OkHasNoReason) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), Reason::kNone);
  EXPECT_TRUE(MetadataOf(absl::OkStatus()).empty());
}

TEST(Status, ErrorsOfLibrariesReadAsInternal) {
  const Status foreign(absl::StatusCode::kNotFound, "no such thing");
  EXPECT_EQ(ReasonOf(foreign), Reason::kInternal);
  EXPECT_TRUE(MetadataOf(foreign).empty());
}

TEST(Status, DamagedPayloadsReadAsInternal) {
  const auto with_payload = [](std::string_view payload) {
    Status status(absl::StatusCode::kUnavailable, "x");
    status.SetPayload("flotilla/reason", absl::Cord({payload.data(), payload.size()}));
    return status;
  };
  EXPECT_EQ(ReasonOf(with_payload("")), Reason::kInternal);
  EXPECT_EQ(ReasonOf(with_payload(std::string_view("\0", 1))), Reason::kInternal);
  EXPECT_EQ(ReasonOf(with_payload("\x7f")), Reason::kInternal) << "of a newer version";
  EXPECT_EQ(ReasonOf(with_payload("\xff\xff")), Reason::kInternal);
  EXPECT_TRUE(MetadataOf(with_payload("")).empty());
  EXPECT_TRUE(MetadataOf(with_payload("\x01\x09key")).empty());
  EXPECT_TRUE(MetadataOf(with_payload("\x01\x03key\x05val")).empty());
}

TEST(Status, AnnotateAddsWordsAndKeepsTheRest) {
  const Status status = Error(Reason::kDataDamaged, "bad block", {{"file", "7.sst"}});
  const Status annotated = Annotate(status, "opening group 7");
  EXPECT_EQ(MessageOf(annotated), "opening group 7: bad block");
  EXPECT_EQ(ReasonOf(annotated), Reason::kDataDamaged);
  EXPECT_EQ(annotated.code(), status.code());
  EXPECT_EQ(MetadataOf(annotated), MetadataOf(status));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "words").ok());
}

// ---- macros ---------------------------------------------------------------------------------

StatusOr<std::unique_ptr<int>> Make(int number) {
  if (number < 0) return Error(Reason::kBadRequest, "negative");
  return std::make_unique<int>(number);
}

StatusOr<int> Add(int a, int b) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> first, Make(a));
  ASSIGN_OR_RETURN(const std::unique_ptr<int> second, Make(b));
  return *first + *second;
}

Status Try(const Status& status, bool* went_on) {
  RETURN_IF_ERROR(status);
  *went_on = true;
  return absl::OkStatus();
}

TEST(Status, MacrosPassErrorsOnAndMoveValues) {
  EXPECT_EQ(*Add(1, 2), 3);
  EXPECT_EQ(ReasonOf(Add(1, -2).status()), Reason::kBadRequest);
  EXPECT_EQ(ReasonOf(Add(-1, 2).status()), Reason::kBadRequest);
  bool went_on = false;
  EXPECT_EQ(ReasonOf(Try(Error(Reason::kDiskFull, ""), &went_on)), Reason::kDiskFull);
  EXPECT_FALSE(went_on);
  EXPECT_TRUE(Try(absl::OkStatus(), &went_on).ok());
  EXPECT_TRUE(went_on);
}

}  // namespace
}  // namespace flotilla
