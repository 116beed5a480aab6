// The facts of facts/registration.md, row by row, with the test of each; then its weak spots. What is
// answered otherwise on purpose, or not followed, says why: here, or as the `why` of its row.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/process.hpp"

namespace cnspec::test {
namespace {

struct Fact {
  const char* fact;
  // "NAME" is a row or a test of registration_table_test.cpp; else "FILE SUITE.NAME".
  std::vector<std::string> tests;
  const char* why = "";
};

const Fact kFacts[] = {
    // 2.1 where the configuration comes from
    {"MONDOO_CONFIG_BASE64 goes before --config", {"S21_Base64GoesBeforeTheFlag"}},
    {"--config", {"S21_TheFlagGoesBeforeTheVariable"}},
    {"MONDOO_CONFIG_PATH", {"S21_TheVariableGoesBeforeTheUsersFile"}},
    {"the user's file, then the system's", {"S21_TheUsersFileByDefault", "S21_TheSystemsFileIsLast"}},
    {"the user's file is where is written when there is none", {"S6_Success"}},
    {"aws-ssm-ps://", {"S21_ParameterStore"}, "not read; whatever its form is, that is said"},
    {"one file alone, no merging", {"S21_TheSystemsFileIsLast"}},
    {"YAML, and JSON as YAML", {"S21_JsonIsAConfiguration"}},
    {"dotted keys are flat names", {"config_test ConfigTest.DottedKeysInBothForms"}, "and nested ones"},
    {"bad base64", {"S21_NotBase64"}},
    {"bad YAML in base64", {"S21_BadYamlInBase64"}},
    {"unreadable file", {"S21_AFileThatCannotBeRead"}},
    {"invalid file", {"S21_BadYamlInAFile", "S21_NotUtf8", "S21_TwoDocuments"}},
    {"no regular file", {"S21_AFolder", "config_test ConfigTest.FilesThatAreNoneNeverBlock"}},
    {"stat fails", {"S21_AFileThatCannotBeLookedAt"}},
    // 2.2 which one it is
    {"--config, not loaded", {"S22_FlagNamesAFileThatIsNotThere"}},
    {"file loaded", {"S21_TheFlagGoesBeforeTheVariable", "S21_TheUsersFileByDefault"}},
    {"base64 loaded", {"S21_Base64GoesBeforeTheFlag"}},
    {"nothing loaded", {"S22_NothingAnywhere", "S22_VariableNamesAFileThatIsNotThere"}},
    // 2.3 keys
    {"every key", {"S23_EveryKeyIsReadAndShown", "config_test ConfigTest.ReadsEveryKey"}},
    {"scope_mrn, space_mrn, parent_mrn", {"config_test ConfigTest.ScopeHasThreeNamesInOneOrder"}},
    {"api_endpoint and its default", {"S25_UnknownFeatures", "config_test ConfigTest.Endpoints"}},
    {"type external_account", {"config_command_test ConfigCommandTest.DocumentsOfWorkloadsSayHowAndWhere"}},
    {"values of the wrong kind",
     {"S23_AListForAText", "S23_ATextForAMapping", "S23_ATextForTrueOrFalse", "S23_ATextForMinutes"}},
    {"log.format", {"bundle_test BundleTest.LogsAreJsonWhereTheConfigurationSaysSo"}},
    {"output", {"config_command_test ConfigCommandTest.StatusIsWrittenAsTheKeyOutputSays"}},
    {"credentials are none when three keys are empty", {"S7_NoCredentials", "S51_NotRegistered"}},
    {"inventory.yml beside the file", {}, "of the command serve, which is not built"},
    // 2.4 environment
    {"MONDOO_<KEY>", {"config_command_test ConfigCommandTest.EveryKeyFromTheEnvironment"}},
    {"MONDOO_<KEY> of the wrong kind", {"S24_VariableOfTheWrongKind"}},
    {"MONDOO_AUTO_UPDATE", {"config_command_test ConfigCommandTest.EveryKeyFromTheEnvironment"}},
    {"MONDOO_AUTO_UPDATE_ENGINE", {"S24_VariablesThatAreNotFollowedChangeNothing"}},
    {"PROVIDERS_PATH", {"S24_ProvidersPathReplacesTheRestButForWhatIsBundled"}},
    {"DEBUG, TRACE", {"S24_DebugAndTraceGoBeforeTheFlags"}},
    {"DEBUG dumps files", {"S24_NoFileIsDumpedIntoTheWorkingDirectoryUnlikeThere"}},
    {"DEBUG=1 serves metrics on :2112", {}, "a debugging aid of a Go program; no command of ours listens"},
    {"MONDOO_PROF, MONDOO_TMP_DIR", {"S24_VariablesThatAreNotFollowedChangeNothing"}},
    {"JWT_TOKEN", {"ways_in_test WorkloadTest.TokenOfTheEnvironmentOrTheConfigurationIsIn"}},
    {"ACTIONS_ID_TOKEN_REQUEST_*", {"ways_in_test CloudTest.GithubActionsIsAskedInItsOwnWay"}},
    {"NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM, COLORTERM",
     {"terminal_test TerminalTest.ColoursAreForTerminalsThatHaveThem",
      "terminal_test TerminalTest.PipesGetColoursOnlyWhenForced"}},
    {"MONDOO_MAX_PROVIDER_CONNECTIONS, DEBUG_PROVIDER_MEMORY, MEM_DEBUG, REGISTRY_URL",
     {"S24_VariablesThatAreNotFollowedChangeNothing"}},
    {"MONDOO_REGISTRATION_TOKEN", {"S6_Description"}},
    {"MONDOO_SYSTEM_PROXY, MONDOO_PROVIDER_PORT_RANGE", {"S24_VariablesThatAreNotFollowedChangeNothing"}},
    {"where a workload's token is looked for",
     {"ways_in_test CloudTest.GoogleIsAskedInItsOwnWay",
      "ways_in_test CloudTest.AzureAppServiceIsAskedInItsOwnWay",
      "ways_in_test CloudTest.AzureCloudShellIsAskedInItsOwnWay",
      "ways_in_test CloudTest.AllAreAskedAtOnceAndTheSilentOnesAreNotWaitedFor"},
     "there: one after the other, two seconds each"},
    {"the exchange by ssh",
     {"ways_in_test EveryKeyType.IsInWithOneExchangeACommand", "ways_in_test SshTest.OneOfManyKeysIsEnough"}},
    // 2.5 features
    {"the bytes, and no<Name>", {"bundle_test BundleTest.FeaturesAreSwitchedOnAndOffByName"}},
    {"unknown ones", {"S25_UnknownFeatures"}},
    {"the hidden command", {"S25_NoCommandFeatures"}},
    // 3 proxies
    {"MONDOO_API_PROXY first", {"S3_VariableGoesBeforeTheFlag"}},
    {"MONDOO_API_PROXY, set to nothing", {"S3_SetButEmptyMeansNone"}},
    {"then --api-proxy", {"S3_FlagGoesBeforeTheKey", "S3_FlagSetToNothingMeansNone"}},
    {"then api_proxy", {"S3_KeyGoesBeforeTheEnvironment"}},
    {"then HTTPS_PROXY", {"S3_EnvironmentLast", "S3_LowerCaseCounts"}},
    {"else the environment's", {"proxy_test Proxy.WhoseWordCounts", "proxy_test Proxy.WhatIsAskedDirectly"}},
    {"NO_PROXY", {"S3_NoProxyHolds", "proxy_test Proxy.NoProxyIsReadInBothCases"}},
    {"providers and updates", {"proxy_test ProxyTest.ProvidersAskThroughItToo"}, "by the same rules as all"},
    {"exchanges of tokens", {"ways_in_test WorkloadTest.TheProofGoesThroughTheProxy"}, "there: not"},
    {"timeouts",
     {"network_test NetworkTest.ConnectionNeverOpens", "network_test NetworkTest.TlsNeverFinishes",
      "network_test NetworkTest.AnswerDrips"},
     "one deadline over everything in place of five"},
    {"retries",
     {"network_test NetworkTest.AsksAgainAfterABrokenConnection",
      "network_test NetworkTest.GivesUpAfterTheThirdTime"}},
    {"a proxy that is no URL, status", {"S52_ProxyIsNoUrl"}},
    {"a proxy that is no URL, login", {"S3_VariableGoesBeforeTheFlag"}},
    // 5 status
    {"-o json, yaml, in any case", {"S53_EveryFieldOfTheExistingToolIsAtItsPlaceInJsonAndYaml"}},
    {"-o anything else", {"S5_UnknownFormat"}},
    {"output: or MONDOO_OUTPUT anything else",
     {"config_command_test ConfigCommandTest.StatusIsWrittenAsTheKeyOutputSays"},
     "text, and a warning: the key is every command's, and another one may know the word"},
    {"text is a log on standard error", {"S51_Registered", "S51_TheLevelOfTheLogHidesNothing"}},
    {"the order of work", {"S5_EverythingIsAskedOnceAndAllAtOnce"}},
    {"where the hostname is from", {"os_provider_test OsLocal.IdentifiesThisMachine"}},
    {"5.1 row 1, the configuration", {"S51_Registered"}},
    {"5.1 row e, health", {"S51_PlatformCannotBeReached", "S51_HealthFailsAlone"}},
    {"5.1 row e, latest version", {"S51_NoManifestOfVersions"}},
    {"5.1 row e, providers_url", {"S51_ProvidersUrl"}},
    {"5.1 rows 2 to 5, the machine", {"S51_Registered", "status_test StatusTest.ShowsThisMachine"}},
    {"5.1 row 2', no machine", {"S51_WithoutAProviderForTheMachine"}},
    {"5.1 rows 6 and 7, time and version", {"S51_Registered"}},
    {"5.1 row 8, latest version",
     {"S51_Registered", "status_test StatusTest.LeavesOutTheLatestVersionWhereNobodyAnnouncesIt"}},
    {"5.1 row 9, a newer version", {"S51_NewerVersions", "S51_OlderVersionsAreNoNews"}},
    {"5.1 rows 10 and 11, updates and providers URL",
     {"S51_UpdatesUrlAndProvidersUrlAreInTheDocumentsAlone"}},
    {"5.1 row 12, no provider info", {"S51_NoManifestOfVersions"}},
    {"5.1 row 13, installed providers", {"S51_Registered"}},
    {"5.1 row 14, outdated providers", {"S51_NewerVersions"}},
    {"5.1 rows 15 to 18, the platform", {"S51_Registered", "S51_PlatformCannotBeReached"}},
    {"5.1 row 16, other states", {"S51_OfAPlatformThatIsNotWellAndHasNoClock"}},
    {"5.1 row 19, other version of the API", {"status_test StatusTest.SaysThatTheApiVersionsDiffer"}},
    {"5.1 row 20, features", {"S51_FeaturesAreInTheDocumentsAlone"}},
    {"5.1 rows 21 to 23, identity", {"S51_Registered", "S51_NoManagedClient"}},
    {"5.1 row 24, registered", {"S51_Registered", "S51_NotRegistered"}},
    {"5.1 row 25, authenticated", {"S51_Registered"}},
    {"5.1 row 25', not authenticated", {"S51_NotRegistered", "S51_Rejected", "S51_PlatformCannotBeReached"}},
    {"5.1 row 26, round trips", {"S51_LongRoundTripsAreNoClockSkew"}},
    {"5.1 row 26, no check of the clock", {"S51_OfAPlatformThatIsNotWellAndHasNoClock"}},
    {"5.1 row 26, clock skew", {"S51_ClockSkew", "status_test StatusTest.ClockSkew"}},
    {"5.2 registered and ping ok", {"S51_Registered", "S51_HealthFailsAlone"}},
    {"5.2 not registered, or ping error", {"S51_NotRegistered", "S51_Rejected"}},
    {"5.2 configuration that cannot be read",
     {"S21_BadYamlInAFile", "status_test StatusTest.ConfigurationThatCannotBeUsedFitsTheSchemaToo"}},
    {"5.2 bad URL of a proxy", {"S52_ProxyIsNoUrl"}},
    {"5.2 key missing, no PEM, not ECDSA", {"S52_KeyIsMissing", "S52_KeyIsNoPem", "S52_KeyIsNotEcdsa"}},
    {"5.2 unknown flag", {"S52_UnknownFlag"}},
    {"5.3 every field",
     {"S53_EveryFieldOfTheExistingToolIsAtItsPlaceInJsonAndYaml",
      "status_test StatusTest.EveryStateFitsTheSchema"}},
    {"5.3 YAML is the same", {"status_test StatusTest.YamlSaysTheSameAsJson"}},
    // 6 login
    {"--token", {"login_test LoginTest.TakesTheTokenFromWhereverItIs"}},
    {"--annotation",
     {"S6_AnnotationWithoutValue", "S6_LoginWritesWhatTheUserSetAndTheCredentialsReadableByTheUserAlone"}},
    {"--name, else the hostname", {"S6_TellsThePlatformWhoAsks"}},
    {"--api-endpoint", {"S6_TheEndpointOfTheFlagForEveryRequest"}},
    {"--updates-url", {"S51_Registered"}},
    {"--providers-url", {"S6_NoFlagForTheRegistry"}},
    {"--timer, --splay",
     {"S6_TimerIsNoNumber", "S6_LoginWritesWhatTheUserSetAndTheCredentialsReadableByTheUserAlone"}},
    {"the token's claims", {"upstream_test TokenTest.ReadsWhatATokenSays"}},
    {"AgentInfo", {"S6_TellsThePlatformWhoAsks"}},
    {"success", {"S6_Success", "S6_Description"}},
    {"malformed token", {"S6_Malformed"}},
    {"token without space", {"S6_NoSpace"}},
    {"token without an expiry date", {"S6_RejectedByThePlatform"}},
    {"expired", {"S6_Expired"}},
    {"rejected", {"S6_RejectedByThePlatform", "S6_RevokedToken"}},
    {"Aborted",
     {"S6_AbortedIsTriedAgainAndThenSaidSo",
      "logout_test LogoutTest.LoginWaitsWhenPermissionsChangeAndSucceedsThen"}},
    {"sysinfo fails",
     {"login_test LoginTest.WithoutTheProviderOsItRegistersAllTheSame"},
     "a warning: what the machine is can be told later, that it may register not"},
    {"write fails", {"S6_FileCannotBeWritten"}},
    {"ping afterwards fails", {"S6_ThePingAfterwardsFails"}},
    {"no token, client there", {"S6_NoTokenAndLoggedIn"}},
    {"no token, service account alone", {"S6_NoTokenAndOnlyAServiceAccount"}},
    {"no token, no credentials", {"S6_NoTokenAndNoCredentials"}},
    {"configuration that cannot be read", {"S6_ConfigurationIsNoYaml"}},
    {"configuration of the environment", {"S6_ConfigurationFromTheEnvironment"}},
    {"written keys", {"S6_LoginWritesWhatTheUserSetAndTheCredentialsReadableByTheUserAlone"}},
    // 7 logout
    {"no credentials", {"S7_NoCredentials"}},
    {"bad key", {"S7_KeyIsNoPem"}},
    {"without --force", {"S7_WithoutForce", "logout_test LogoutTest.OnATerminalItAsks"}},
    {"--force", {"S7_Force", "S7_LogoutRemovesEveryCredentialAndKeepsEverythingElse"}},
    {"ping fails", {"S7_Rejected", "S7_PlatformCannotBeReached", "S7_LocalAllTheSame"}},
    {"unregister fails", {"S7_UnregisterFails"}},
};

const std::map<std::string, std::vector<std::string>> kWeakSpots = {
    {"1", {"S5_EverythingIsAskedOnceAndAllAtOnce", "status_test StatusTest.AnswerNeverComes"}},
    {"2", {"S5_EverythingIsAskedOnceAndAllAtOnce"}},
    {"3", {"S53_EveryFieldOfTheExistingToolIsAtItsPlaceInJsonAndYaml"}},
    {"4", {"status_test StatusTest.JsonCarriesEverythingAndNothingElseIsPrinted"}},
    {"5",
     {"S53_EveryFieldOfTheExistingToolIsAtItsPlaceInJsonAndYaml",
      "status_test StatusTest.FullDiskIsAnError"}},
    {"6", {"S5_UnknownFormat"}},
    {"7",
     {"status_test StatusTest.VersionsCompareAsSemanticVersions", "S51_OlderVersionsAreNoNews",
      "S51_HealthFailsAlone"}},
    {"8", {"S51_NoManifestOfVersions"}},
    {"9", {"status_test StatusTest.EveryStateFitsTheSchema"}},
    {"10", {"S51_PlatformCannotBeReached", "status_test StatusTest.JsonTellsRejectedFromNotAsked"}},
    {"11", {"S51_WithoutAProviderForTheMachine", "S51_HealthFailsAlone"}},
    {"12", {"S51_UpdatesUrlWithASlashAtItsEnd"}},
    {"13", {"S51_Registered", "S51_TheLevelOfTheLogHidesNothing"}},
    {"14", {"S51_Registered"}},
    {"15", {"bundle_test BundleTest.EveryRequestSaysWhoAsksAndByWhichId"}},
    {"16", {"S52_KeyIsNoPem", "status_test StatusTest.KeyThatCannotBeUsedStillGivesTheReport"}},
    {"17",
     {"ways_in_test EveryKeyType.IsInWithOneExchangeACommand",
      "ways_in_test WorkloadTest.TheProofGoesThroughTheProxy"}},
    {"18",
     {"ways_in_test SshTest.UnknownKeyIsRejected", "ways_in_test WorkloadTest.EveryWrongTokenIsRejected",
      "ways_in_test SshTest.LogoutThatIsRejectedRemovesNothing",
      "ways_in_test WorkloadTest.LogoutThatIsRejectedRemovesNothing"}},
    {"19", {"S6_Malformed", "S6_NoSpace", "S6_Expired"}},
    {"20",
     {"S6_LoginWritesWhatTheUserSetAndTheCredentialsReadableByTheUserAlone",
      "login_crash_test LoginCrashTest.KilledAtEverySystemCallOfItsSavingItLeavesTheOldOrTheNew"}},
    {"21", {"login_test LoginTest.KeepsWhatTheUserSetAndNothingOfTheEnvironment"}},
    {"22", {"login_test LoginTest.TakesTheTokenFromWhereverItIs"}},
    {"23", {"S6_NoTokenAndLoggedIn"}},
    {"24", {"S3_VariableGoesBeforeTheFlag"}},
    {"25", {"S6_RejectedByThePlatform", "S52_UnknownFlag"}},
    {"26", {"login_test LoginTest.AnAnswerThatNeverComes", "S6_ThePingAfterwardsFails"}},
    {"27", {"login_test LoginTest.ASecondTokenReplacesTheCredentialsAndKeepsTheRest"}},
    {"28",
     {"config_test ConfigTest.DottedKeysInBothForms",
      "S6_LoginWritesWhatTheUserSetAndTheCredentialsReadableByTheUserAlone"}},
    {"29", {"S6_TheEndpointOfTheFlagForEveryRequest"}},
    // Neither is looked at here: only the platform's own clock decides of them.
    {"30", {"platform_test PlatformTokens.HoldWhatAClientNeeds", "S51_ProvidersUrl"}},
    // Kept on purpose, and said in the help: what a login was given holds for the commands after it.
    {"31", {"S6_LoginWritesWhatTheUserSetAndTheCredentialsReadableByTheUserAlone"}},
    {"31b", {"config_test ConfigTest.Endpoints"}},
    {"32", {"S7_Rejected", "S7_PlatformCannotBeReached", "S7_UnregisterFails"}},
    {"33", {"S7_LogoutRemovesEveryCredentialAndKeepsEverythingElse"}},
    {"34", {"S7_NoCredentials"}},
    {"35",
     {"logout_test LogoutTest.JsonStaysJson", "logout_test LogoutTest.UnregistersAndKeepsEveryOtherKey"}},
    {"36", {"S7_Force", "ways_in_test WorkloadTest.LogoutKeepsWhatTheUserWrote"}},
    {"37", {"S7_NoClient", "logout_test LogoutTest.CredentialsFromTheEnvironmentAreNotOnDisk"}},
};

class Sources {
 public:
  bool hold(const std::string& test) {
    const auto space = test.find(' ');
    if (space == test.npos) {
      const std::string& table = text("registration_table_test");
      return table.find("Row{\"" + test + "\",") != table.npos || table.find(", " + test + ")") != table.npos;
    }
    const std::string& file = text(test.substr(0, space));
    const auto dot = test.find('.');
    return file.find("(" + test.substr(space + 1, dot - space - 1) + ", " + test.substr(dot + 1) + ")") !=
           file.npos;
  }

 private:
  const std::string& text(const std::string& name) {
    std::string& out = texts_[name];
    if (!out.empty()) return out;
    // Two may have one name.
    for (const char* folder : {"/tests/integration/", "/tests/unit/"}) {
      const auto path = CNSPEC_SOURCE_DIR + std::string(folder) + name + ".cpp";
      if (std::filesystem::exists(path)) out += read_file(path);
    }
    return out;
  }
  std::map<std::string, std::string> texts_;
};

TEST(RegistrationFacts, EachHasATestOrAReason) {
  Sources sources;
  for (const Fact& fact : kFacts) {
    for (const std::string& test : fact.tests)
      EXPECT_TRUE(sources.hold(test)) << fact.fact << ": no test " << test;
    EXPECT_TRUE(!fact.tests.empty() || *fact.why) << fact.fact;
  }
}

TEST(RegistrationFacts, EachWeakSpotHasATest) {
  Sources sources;
  for (int i = 1; i <= 37; ++i) EXPECT_TRUE(kWeakSpots.contains(std::to_string(i))) << i;
  for (const auto& [number, tests] : kWeakSpots) {
    EXPECT_FALSE(tests.empty());
    for (const std::string& test : tests) EXPECT_TRUE(sources.hold(test)) << number << ": no test " << test;
  }
}

}  // namespace
}  // namespace cnspec::test
