#include "cli/keys.h"

#include <gtest/gtest.h>

namespace ez::cli {
namespace {

std::vector<Key> kinds(const std::vector<KeyPress>& presses) {
  std::vector<Key> out;
  for (const KeyPress& press : presses) out.push_back(press.key);
  return out;
}

TEST(Keys, CharactersAndTheirFriends) {
  KeyReader reader;
  const auto keys = reader.take("q\r\n\t\x7f\x08");
  ASSERT_EQ(keys.size(), 6u);
  EXPECT_EQ(keys[0], (KeyPress{Key::kCharacter, 'q'}));
  EXPECT_EQ(kinds(keys), (std::vector<Key>{Key::kCharacter, Key::kEnter, Key::kEnter, Key::kTab,
                                           Key::kBackspace, Key::kBackspace}));
  EXPECT_EQ(kinds(reader.take("\xc3\xa4\x01")),
            (std::vector<Key>{Key::kUnknown, Key::kUnknown, Key::kUnknown}));
}

TEST(Keys, Sequences) {
  KeyReader reader;
  EXPECT_EQ(kinds(reader.take("\x1b[A\x1b[B\x1bOC\x1b[D\x1b[5~\x1b[6~\x1b[H\x1b[4~\x1b[Z")),
            (std::vector<Key>{Key::kUp, Key::kDown, Key::kRight, Key::kLeft, Key::kPageUp, Key::kPageDown,
                              Key::kHome, Key::kEnd, Key::kBackTab}));
  // What nobody asked for is one unknown key, and what follows is read.
  EXPECT_EQ(kinds(reader.take("\x1b[1;5C\x1b[<0;10;10Mx")),
            (std::vector<Key>{Key::kUnknown, Key::kUnknown, Key::kCharacter}));
}

TEST(Keys, SequencesMayComeInPieces) {
  KeyReader reader;
  EXPECT_TRUE(reader.take("\x1b").empty());
  EXPECT_TRUE(reader.pending());
  EXPECT_TRUE(reader.take("[").empty());
  EXPECT_EQ(kinds(reader.take("A")), std::vector<Key>{Key::kUp});
  EXPECT_FALSE(reader.pending());
}

TEST(Keys, ALoneEscapeIsAKey) {
  KeyReader reader;
  EXPECT_TRUE(reader.take("\x1b").empty());
  EXPECT_EQ(kinds(reader.flush()), std::vector<Key>{Key::kEscape});
  EXPECT_EQ(kinds(reader.take("\x1bq")), (std::vector<Key>{Key::kEscape, Key::kCharacter}));
  EXPECT_EQ(kinds(reader.take("\x1b\x1b[A")), (std::vector<Key>{Key::kEscape, Key::kUp}));
}

TEST(Keys, EndlessSequencesEnd) {
  KeyReader reader;
  EXPECT_TRUE(reader.take("\x1b[" + std::string(20, '1')).empty());
  EXPECT_EQ(kinds(reader.take(std::string(20, '1'))), std::vector<Key>{Key::kUnknown});
  EXPECT_FALSE(reader.pending());
}

}  // namespace
}  // namespace ez::cli
