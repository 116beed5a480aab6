// What a command line may hold, as text.
#include <algorithm>

#include "base/text.hpp"
#include "command_line.hpp"

namespace cnspec::cli {
namespace {

constexpr std::size_t kNarrow = 72;   // a screen that has no room for a wide first column
constexpr std::size_t kWidest = 100;  // longer lines are no joy to read

struct Row {
  std::string left, right;
};

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// `text` in lines of at most `columns`, those after the first behind `indent` spaces; the first begins at
// `at`.
std::string wrapped(const std::string& text, std::size_t at, std::size_t indent, std::size_t columns) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (at > indent && at + 1 + width(word) > columns) {
      out += "\n" + std::string(indent, ' ');
      at = indent;
    } else if (at > indent) {
      out += ' ';
      ++at;
    }
    out += word;
    at += width(word);
    begin = end + 1;
  }
  return out + "\n";
}

std::string value_of(const Option& option) {
  if (!option.value.empty()) return option.value;
  return option.one_of.empty() ? "TEXT" : join(option.one_of, "|");
}

std::string argument(const Option& option) {
  if (option.names.starts_with('[')) return option.names;
  const bool list = std::holds_alternative<std::vector<std::string>*>(option.target) && option.most > 1;
  const std::string name = option.names + (list ? "..." : "");
  return option.required ? name : "[" + name + "]";
}

Row row(const Option& option) {
  std::string left = option.names;
  if (!option.is_argument()) {
    const std::string shorter = option.short_name();
    left = (shorter.empty() ? "    " : shorter + ", ") + option.name();
    if (!option.is_flag()) left += " " + value_of(option);
  }
  std::vector<std::string> notes;
  if (option.required && !option.is_argument()) notes.emplace_back("required");
  if (!option.default_text.empty()) notes.push_back("default: " + option.default_text);
  if (!option.excludes.empty()) notes.push_back("not with " + option.excludes);
  return {left, option.summary + (notes.empty() ? "" : " (" + join(notes, "; ") + ")")};
}

class Page {
 public:
  explicit Page(std::size_t columns)
      : columns_(std::min(columns, kWidest)), most_(columns < kNarrow ? 18 : 34) {}

  void paragraph(const std::string& text) {
    if (!text.empty()) paragraphs_.push_back({text, {}});
  }
  void section(const std::string& title, std::vector<Row> rows) {
    if (!rows.empty()) paragraphs_.push_back({title + ":", std::move(rows)});
  }
  void verbatim(const std::string& title, const std::vector<std::string>& lines) {
    std::vector<Row> rows;
    for (const auto& line : lines) rows.push_back({line, ""});
    section(title, std::move(rows));
  }

  std::string text() const {
    std::size_t column = 0;
    for (const auto& paragraph : paragraphs_) {
      for (const Row& row : paragraph.rows)
        if (!row.right.empty()) column = std::max(column, 2 + width(row.left) + 2);
    }
    column = std::min(column, most_);
    std::string out;
    for (const auto& paragraph : paragraphs_) {
      if (!out.empty()) out += "\n";
      out += wrapped(paragraph.text, 0, 0, columns_);
      for (const Row& row : paragraph.rows) out += line(row, column);
    }
    return out;
  }

 private:
  std::string line(const Row& row, std::size_t column) const {
    std::string out = "  " + row.left;
    if (row.right.empty()) return out + "\n";
    if (const std::size_t used = width(out); used + 2 <= column)
      out += std::string(column - used, ' ');
    else
      out += "\n" + std::string(column, ' ');
    return out + wrapped(row.right, column, column, columns_);
  }

  struct Paragraph {
    std::string text;
    std::vector<Row> rows;
  };
  std::size_t columns_, most_;
  std::vector<Paragraph> paragraphs_;
};

std::string capitalized(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z')
    text.front() = static_cast<char>(text.front() - 32);
  return text;
}

std::string usage(const Command& command) {
  std::string out = "Usage: " + command.full_name() + " [OPTIONS]";
  for (const Option& option : command.options)
    if (option.is_argument()) out += " " + argument(option);
  std::string kind = command.kind;
  std::transform(kind.begin(), kind.end(), kind.begin(), [](unsigned char c) { return std::toupper(c); });
  if (!command.commands.empty()) out += " " + kind + " ...";
  if (command.rest) out += " [CONNECTOR ...]";
  return out;
}

}  // namespace

std::string help_text(const Command& command, std::size_t columns) {
  const bool is_program = command.full_name().find(' ') == std::string::npos;
  std::vector<Row> arguments, own, global, commands;
  for (const Option& option : command.options) {
    if (option.hidden) continue;
    if (option.is_argument() && option.summary.empty()) continue;
    (option.is_argument() ? arguments : option.global ? global : own).push_back(row(option));
  }
  own.push_back({"-h, --help", "Show this help"});
  for (const Command& one : command.commands) {
    if (one.hidden) continue;
    std::string names = one.name;
    for (const std::string& alias : one.aliases) names += ", " + alias;
    commands.push_back({names, one.summary});
  }
  Page page(columns);
  page.paragraph(capitalized(command.summary) + (command.summary.ends_with('.') ? "" : "."));
  page.paragraph(usage(command));
  page.section(capitalized(command.kind) + "s", std::move(commands));
  page.section("Arguments", std::move(arguments));
  page.section("Options", std::move(own));
  if (is_program) page.section("Options of every command", std::move(global));
  for (std::size_t begin = 0; begin < command.details.size();) {
    const std::size_t end = std::min(command.details.find('\n', begin), command.details.size());
    page.paragraph(command.details.substr(begin, end - begin));
    begin = end + 1;
  }
  page.verbatim("Examples", command.examples);
  if (!is_program)
    page.paragraph("Options of every command, such as --config and --timeout: see cnspec --help");
  return page.text();
}

}  // namespace cnspec::cli
