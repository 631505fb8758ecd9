from django.urls import path, re_path

from workspace import views, views_kept, views_reports, views_settings

app_name = "workspace"
urlpatterns = [
    path("home/", views.home, name="home"),
    path("palette/", views.palette, name="palette"),
    path("settings/", views_settings.index, name="settings"),
    path("settings/people/", views_settings.people, name="people"),
    path("settings/people/invite/", views_settings.person, name="invite"),
    path("settings/people/<int:pk>/", views_settings.person, name="person"),
    re_path(
        r"^settings/people/(?P<pk>\d{1,18})/(?P<what>invite|sign-out|second-factor)/$",
        views_settings.act_on_person,
        name="act_on_person",
    ),
    path("settings/tiers/", views_settings.tiers, name="tiers"),
    path("settings/tiers/<int:level>/", views_settings.tier, name="tier"),
    path("settings/contacts/new/", views_settings.contact, name="new_contact"),
    path("settings/contacts/<int:pk>/", views_settings.contact, name="contact"),
    path("settings/teams/new/", views_settings.team, name="new_team"),
    path("settings/teams/<int:pk>/", views_settings.team, name="team"),
    path("settings/accounts/", views_settings.accounts, name="accounts"),
    path("settings/first-hour/test-mail/", views_settings.test_mail, name="test_mail"),
    path("settings/first-hour/close/", views_settings.close_checklist, name="close_checklist"),
    path("reports/", views_reports.index, name="reports"),
    path("reports/kept/new/", views_kept.edit, name="keep_report"),
    path("reports/kept/<int:pk>/", views_kept.edit, name="kept_report"),
    path("reports/kept/<int:pk>/delete/", views_kept.delete, name="delete_report"),
    path("reports/kept/<int:pk>/send/", views_kept.send, name="send_report"),
    path("reports/<slug:key>/", views_reports.report, name="report"),
    path("reports/<slug:key>/tickets/", views_reports.behind, name="behind"),
    path("reports/<slug:key>/export.csv", views_reports.as_csv, name="report_csv"),
]
