#include "orchestration/time_zone.h"

#include <gtest/gtest.h>

namespace ez::orchestration {
namespace {

void big(std::string& out, std::int64_t value, int size) {
  for (int i = size - 1; i >= 0; --i)
    out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
}

struct Transition {
  std::int64_t at;
  int type;
};

// A TZif file of version 2 with an empty first block.
std::string tzif(const std::vector<std::int64_t>& offsets, const std::vector<Transition>& transitions,
                 const std::string& footer, char version = '2') {
  std::string out;
  const auto block = [&](const std::vector<Transition>& times, int size) {
    out += "TZif";
    out += version;
    out.append(15, '\0');
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{0}, std::size_t{0}, times.size(), offsets.size(), std::size_t{4}}) {
      big(out, static_cast<std::int64_t>(count), 4);
    }
    for (const Transition& transition : times) big(out, transition.at, size);
    for (const Transition& transition : times) out += static_cast<char>(transition.type);
    for (const std::int64_t offset : offsets) {
      big(out, offset, 4);
      out.append(2, '\0');
    }
    out += std::string("XYZ\0", 4);
  };
  if (version == '\0') {
    block(transitions, 4);
    return out;
  }
  block({}, 4);
  block(transitions, 8);
  return out + "\n" + footer + "\n";
}

// As in Berlin: two transitions in the file, the rule after them.
TimeZone berlin() {
  auto zone = TimeZone::parse("Test/Berlin", tzif({3600, 7200}, {{1'711'846'800, 1}, {1'729'990'800, 0}},
                                                  "CET-1CEST,M3.5.0,M10.5.0/3"));
  EXPECT_TRUE(zone.ok()) << (zone.ok() ? "" : zone.error().message());
  return zone.ok() ? std::move(zone).value() : TimeZone();
}

std::int64_t utc(const char* text) { return parse_moment_ms(text, TimeZone()).value_or(-1) / 1000; }

TEST(TimeZones, OffsetsBeforeBetweenAndAfterTheTransitions) {
  const TimeZone zone = berlin();
  EXPECT_EQ(zone.offset_at(utc("1980-07-01")), 3600);
  EXPECT_EQ(zone.offset_at(1'711'846'799), 3600);
  EXPECT_EQ(zone.offset_at(1'711'846'800), 7200);
  EXPECT_EQ(zone.offset_at(1'729'990'799), 7200);
  EXPECT_EQ(zone.offset_at(1'729'990'800), 3600);
  // By the rule, to the second.
  EXPECT_EQ(zone.offset_at(utc("2026-03-29T00:59:59Z")), 3600);
  EXPECT_EQ(zone.offset_at(utc("2026-03-29T01:00:00Z")), 7200);
  EXPECT_EQ(zone.offset_at(utc("2199-10-27T00:59:59Z")), 7200);
  EXPECT_EQ(zone.offset_at(utc("2199-10-27T01:00:00Z")), 3600);
}

TEST(TimeZones, AWallTimeThatIsShownTwiceIsTheFirst) {
  EXPECT_EQ(berlin().to_instant(utc("2026-10-25T02:30:00Z")), utc("2026-10-25T00:30:00Z"));
  EXPECT_EQ(berlin().to_instant(utc("2026-10-25T03:00:00Z")), utc("2026-10-25T02:00:00Z"));
}

TEST(TimeZones, AWallTimeThatIsSkippedIsTheJump) {
  for (const char* wall : {"2026-03-29T02:00:00Z", "2026-03-29T02:30:00Z", "2026-03-29T02:59:59Z"})
    EXPECT_EQ(berlin().to_instant(utc(wall)), utc("2026-03-29T01:00:00Z")) << wall;
  EXPECT_EQ(berlin().to_instant(utc("2026-03-29T01:59:59Z")), utc("2026-03-29T00:59:59Z"));
  EXPECT_EQ(berlin().to_instant(utc("2026-03-29T03:00:00Z")), utc("2026-03-29T01:00:00Z"));
}

TEST(TimeZones, ASkippedDayIsItsEnd) {
  // As Samoa at the end of 2011.
  const auto zone = TimeZone::parse("Test/Day", tzif({-36'000, 50'400}, {{1'325'239'200, 1}}, "<+14>-14"));
  ASSERT_TRUE(zone.ok());
  EXPECT_EQ(zone->to_instant(utc("2011-12-30T12:00:00Z")), 1'325'239'200);
  EXPECT_EQ(format_moment(1'325'239'199'000, *zone), "2011-12-29T23:59:59-10:00");
  EXPECT_EQ(format_moment(1'325'239'200'000, *zone), "2011-12-31T00:00:00+14:00");
}

TEST(TimeZones, RulesOfTheSouthAndOfOtherForms) {
  const auto sydney = ZoneRule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3");
  ASSERT_TRUE(sydney);
  EXPECT_EQ(sydney->offset_at(utc("2026-01-15")), 39'600);
  EXPECT_EQ(sydney->offset_at(utc("2026-06-15")), 36'000);
  EXPECT_EQ(sydney->offset_at(utc("2026-10-03T15:59:59Z")), 36'000);
  EXPECT_EQ(sydney->offset_at(utc("2026-10-03T16:00:00Z")), 39'600);
  const auto julian = ZoneRule::parse("<-03>3<-02>,J60/-2:30,J300/25");
  ASSERT_TRUE(julian);
  // 1 March in leap years too, two and a half hours before its midnight.
  EXPECT_EQ(julian->offset_at(utc("2024-03-01T00:29:59Z")), -10'800);
  EXPECT_EQ(julian->offset_at(utc("2024-03-01T00:30:00Z")), -7'200);
  const auto always = ZoneRule::parse("XXX3EDT4,0/0,J365/23");
  ASSERT_TRUE(always);
  for (const char* text : {"2025-01-01", "2025-07-01", "2025-12-31T23:30:00Z"})
    EXPECT_EQ(always->offset_at(utc(text)), -14'400) << text;
  EXPECT_EQ(ZoneRule::parse("UTC0")->offset_at(0), 0);
}

TEST(TimeZones, WhatIsNoRuleIsRefused) {
  for (const char* text :
       {"", "CE", "CET", "CET-25", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J10", "CET-1CEST,366,1",
        "CET-1CEST,M3.5.0,M10.5.0/168", "CET-1CEST,M3.5.0,M10.5.0x", "<+01-1", "CET-1:60"}) {
    EXPECT_FALSE(ZoneRule::parse(text)) << text;
  }
}

TEST(TimeZones, DamagedFilesAreRefusedWhereverTheyEnd) {
  const std::string whole = tzif({3600, 7200}, {{1'711'846'800, 1}}, "CET-1CEST,M3.5.0,M10.5.0/3");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(TimeZone::parse("Test/Cut", whole.substr(0, size)).ok()) << size;
  std::string wrong_type = whole;
  wrong_type[2 * 44 + 2 * 6 + 4 + 8] = 2;
  EXPECT_FALSE(TimeZone::parse("Test/Type", wrong_type).ok());
  EXPECT_FALSE(TimeZone::parse("Test/Order", tzif({0, 60}, {{10, 1}, {10, 0}}, "")).ok());
  EXPECT_FALSE(TimeZone::parse("Test/Offset", tzif({100'000}, {}, "")).ok());
  EXPECT_FALSE(TimeZone::parse("Test/Footer", tzif({0}, {}, "what")).ok());
  const auto old = TimeZone::parse("Test/Old", tzif({-3600, 0}, {{-100, 1}}, "", '\0'));
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->offset_at(-101), -3600);
  EXPECT_EQ(old->offset_at(-100), 0);
}

TEST(TimeZones, NamesAreNotPaths) {
  for (const char* good : {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"})
    EXPECT_TRUE(is_zone_name(good)) << good;
  for (const char* bad : {"", "/etc/passwd", "Europe/", "Europe//Berlin", "../x", "a.b", "Europe/Ber lin"})
    EXPECT_FALSE(is_zone_name(bad)) << bad;
}

TEST(Moments, AreReadInTheZoneOrWithAnOffset) {
  const TimeZone zone = berlin();
  const auto read = [&](const char* text) { return parse_moment_ms(text, zone).value_or(-1); };
  EXPECT_EQ(read("2026-06-01"), utc("2026-05-31T22:00:00Z") * 1000);
  EXPECT_EQ(read("2026-06-01T03:00"), utc("2026-06-01T01:00:00Z") * 1000);
  EXPECT_EQ(read("2026-06-01T03:00:00Z"), utc("2026-06-01T03:00:00Z") * 1000);
  EXPECT_EQ(read("2026-06-01T03:00:00.5-02:30"), utc("2026-06-01T05:30:00Z") * 1000 + 500);
  for (const char* bad :
       {"", "2026", "2026-13-01", "2026-02-30", "2026-06-01T24:00", "2026-06-01 03:00",
        "2026-06-01T03:00:00+2", "2026-06-01T03:00:00Zx", "1969-12-31", "2026-06-01T03:00:00."}) {
    EXPECT_EQ(read(bad), -1) << bad;
  }
  EXPECT_EQ(format_moment(0, TimeZone()), "1970-01-01T00:00:00+00:00");
}

}  // namespace
}  // namespace ez::orchestration
